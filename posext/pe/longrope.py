"""LongRoPE: a searched divisor for every rotary pair."""

import math
from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.longrope_default import searched_powers
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastOne, Auto, Base


class LongRoPE(ScaledRoPE):
    """Divides every rotary pair's frequency by its own divisor, searched on text.

    theta'_i = theta_i / lambda_i, with `short_factor` up to the original length and `long_factor`
    beyond it; cos and sin are multiplied by sqrt(1 + ln s / ln original_length) (Ding et al. 2024;
    as in Phi-3). scripts/search_longrope.py runs a search.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        short_factor: Divisors lambda, one per pair; "auto": ones.
        long_factor: Divisors lambda, one per pair; "auto": lambda_i = s^g, where g falls from 1 to
            0 with the rotations of pair i within the original length. This is the result of one
            search on one small model at s = 8. It did as well as YaRN on held-out text, not better;
            larger models are untested.

    Raises:
        PosextError: A list does not hold one positive number per pair.
    """

    paper = "arXiv:2402.13753"
    stages = frozenset({"fine-tuned", "zero-shot"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        factor: AtLeastOne | Auto = "auto",
        short_factor: list[float] | Literal["auto"] = "auto",
        long_factor: list[float] | Literal["auto"] = "auto",
    ):
        super().__init__(shape, base=base, factor=factor)
        self.short_factor = self.check_divisors("short_factor", short_factor)
        self.long_factor = self.check_divisors("long_factor", long_factor)

    def check_divisors(
        self, key: str, divisors: list[float] | Literal["auto"]
    ) -> list[float] | Literal["auto"]:
        """Return the divisors. Raise PosextError unless there is a positive number per pair."""
        pairs = self.shape.head_dim // 2
        if divisors == "auto":
            return divisors
        if len(divisors) != pairs or not all(0 < divisor < math.inf for divisor in divisors):
            raise PosextError(
                f"{key} must hold {pairs} numbers above 0, one a pair, not {divisors}"
            )
        return divisors

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        s = self.scale(length)
        divisors_R = self.divisors(s, long=length > self.shape.original_length)
        attention_factor = math.sqrt(1 + math.log(s) / math.log(self.shape.original_length))
        return self.inv_freq(self.base) / divisors_R, attention_factor

    def divisors(self, s: float, long: bool) -> Tensor:
        """Return lambda for every pair: float64 (R,)."""
        divisors = self.long_factor if long else self.short_factor
        if divisors != "auto":
            return torch.tensor(divisors, dtype=torch.float64)
        if long:
            turns_R = self.shape.original_length * self.inv_freq(self.base) / (2 * math.pi)
            return s ** searched_powers(turns_R)
        return torch.ones(self.shape.head_dim // 2, dtype=torch.float64)
