"""LongRoPE: a divisor for every pair, found by search."""

import math
from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE


class LongRoPE(ScaledRoPE):
    """theta'_i = theta_i / lambda_i: `short_factor` up to the original length, `long_factor` beyond it.

    cos and sin are multiplied by sqrt(1 + ln s / ln original_length). Ding et al. 2024, arXiv:2402.13753; as in Phi-3.
    The divisors are searched on text; `long_factor="auto"` stands in for a search with the straight line from 1 to s,
    `short_factor="auto"` with ones. Class P, Z. Raises ValueError for lists that do not hold a positive number a pair.
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
            if not isinstance(given, str) and (len(given) != shape.head_dim // 2 or min(given) <= 0):
                raise ValueError(f"{key} must hold {shape.head_dim // 2} numbers above 0, one a pair, not {given}")
        self.short_factor, self.long_factor = short_factor, long_factor

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        s, pairs = self.scale(length), self.shape.head_dim // 2
        given = self.long_factor if length > self.shape.original_length else self.short_factor
        if given == "auto":
            end = s if length > self.shape.original_length else 1.0
            divisors_R = torch.linspace(1, end, pairs, dtype=torch.float64)
        else:
            divisors_R = torch.tensor(given, dtype=torch.float64)
        attention_factor = math.sqrt(1 + math.log(s) / math.log(self.shape.original_length))
        return self.inv_freq(self.base) / divisors_R, attention_factor
