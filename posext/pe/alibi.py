"""ALiBi: attention with linear biases."""

import torch
from torch import Tensor

from posext.pe.base import KeyBias, PositionalEncoding


class ALiBi(PositionalEncoding):
    """Lowers the logit of a key in proportion to its distance, at a fixed slope for every head.

    The logit of query n and key j gets -m_h (n - j) (Press et al. 2021, section 3). Under softmax
    the part -m_h n is constant along a row and cancels, so the scheme returns m_h j, a bias by key
    alone.
    """

    paper = "arXiv:2108.12409"
    stages = frozenset({"trained"})
    family = "bias"

    def bias(self, positions_K: Tensor) -> KeyBias:
        slopes_H = torch.tensor(
            slopes(self.shape.n_heads), dtype=torch.float64, device=positions_K.device
        )
        return KeyBias(slopes_H[:, None] * positions_K.double())


def slopes(n_heads: int) -> list[float]:
    """Return the positive slopes m_h: 2^(-8h/H) if the number of heads H is a power of two.

    Otherwise the slopes of the next smaller power, then every other slope of the next larger one.
    """
    smaller = 1 << (n_heads.bit_length() - 1)
    first = [2 ** (-8 * h / smaller) for h in range(1, smaller + 1)]
    between = [2 ** (-4 * h / smaller) for h in range(1, 2 * smaller + 1, 2)]
    return first + between[: n_heads - smaller]
