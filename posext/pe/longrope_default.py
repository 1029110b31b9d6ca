"""LongRoPE's default divisors: the result of one search."""

import numpy as np
import torch
from torch import Tensor

# ln lambda / ln s of a pair by log2 of its rotations within the original length, linear in between,
# constant outside. Found by
# python scripts/search_longrope.py results/runs/rope-tiny-128-seed0 --factor 8, 2026-11-24,
# on one model of 3.7M parameters.
TURNS = (-3, -2, -1, 0, 1, 2, 3, 4)
POWERS = (1.0, 0.99, 0.99, 0.81, 0.34, 0.08, 0.0, 0.0)


def searched_powers(turns_R: Tensor) -> Tensor:
    """Return the power of s that divides each pair's frequency: float64 (R,), 0 to 1.

    Args:
        turns_R: Rotations of each pair within the original length.
    """
    return torch.from_numpy(np.interp(turns_R.log2().numpy(), TURNS, POWERS))
