"""LongRoPE: a divisor for every pair, found by search."""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError

# ln lambda / ln s of a pair by log2 of its turns within the original length, straight between, constant beyond.
# python scripts/search_longrope.py results/runs/rope-tiny-128-seed0 --factor 8, 2026-11-24: one model of 3.7M parameters.
TURNS = (-3, -2, -1, 0, 1, 2, 3, 4)
POWERS = (1.0, 0.99, 0.99, 0.81, 0.34, 0.08, 0.0, 0.0)


class LongRoPE(ScaledRoPE):
    """theta'_i = theta_i / lambda_i: `short_factor` up to the original length, `long_factor` beyond it.

    cos and sin are multiplied by sqrt(1 + ln s / ln original_length). Ding et al. 2024, arXiv:2402.13753; as in Phi-3.
    The divisors are searched on text (scripts/search_longrope.py). `long_factor="auto"` stands in for a search of your own
    with lambda_i = s^g, where g falls from 1 to 0 with the turns of pair i within the original length: what one search on
    one small model at s = 8 found. On held-out text it did as well there as YaRN, not better; larger models are untried.
    `short_factor="auto"` is ones. Class P, Z.
    Raises PosextError for lists that do not hold a positive number a pair.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        factor: float | Literal["auto"] = "auto",
        short_factor: list[float] | Literal["auto"] = "auto",
        long_factor: list[float] | Literal["auto"] = "auto",
    ):
        super().__init__(shape, base=base, factor=factor)
        for key, given in (("short_factor", short_factor), ("long_factor", long_factor)):
            numbers = [] if isinstance(given, str) else given
            if given != "auto" and (
                len(given) != shape.head_dim // 2 or not all(0 < n < math.inf for n in numbers)
            ):
                raise PosextError(
                    f"{key} must hold {shape.head_dim // 2} numbers above 0, one a pair, not {given}"
                )
        self.short_factor, self.long_factor = short_factor, long_factor

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        divisors_R = self.divisors(self.scale(length), long=length > self.shape.original_length)
        attention_factor = math.sqrt(
            1 + math.log(self.scale(length)) / math.log(self.shape.original_length)
        )
        return self.inv_freq(self.base) / divisors_R, attention_factor

    def divisors(self, s: float, long: bool) -> Tensor:
        """lambda for every pair: float64 (R,)."""
        given = self.long_factor if long else self.short_factor
        if given != "auto":
            return torch.tensor(given, dtype=torch.float64)
        return (
            s ** self.powers()
            if long
            else torch.ones(self.shape.head_dim // 2, dtype=torch.float64)
        )

    def powers(self) -> Tensor:
        """g for every pair, so that s^g is its divisor: float64 (R,), non-decreasing."""
        turns_R = self.shape.original_length * self.inv_freq(self.base) / (2 * math.pi)
        return torch.from_numpy(np.interp(turns_R.log2().numpy(), TURNS, POWERS))
