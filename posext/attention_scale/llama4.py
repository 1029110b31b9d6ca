"""Llama 4's temperature."""

import math
from typing import Literal

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.utils.errors import PosextError


class Llama4(AttentionScale):
    """1 + strength ln(1 + floor((n + 1) / floor)) for query n, as on the layers without positions of Llama 4.

    `floor="auto"` is the original length (8,192 there, its length of pre-training). Class T, I.
    Raises PosextError for a floor below 1 or a strength that is negative or not finite.
    """

    def __init__(
        self, shape: Shape, *, strength: float = 0.1, floor: int | Literal["auto"] = "auto"
    ):
        super().__init__(shape)
        self.floor = shape.original_length if floor == "auto" else floor
        if self.floor < 1 or not 0 <= strength < math.inf:
            raise PosextError(
                f"floor must be at least 1 and strength at least 0, not {floor} and {strength}"
            )
        self.strength = strength

    def multiplier(self, length: int, trained_length: int) -> Tensor:
        steps_T = torch.arange(1, length + 1, dtype=torch.float64) // self.floor
        return (1 + self.strength * steps_T.log1p()).float()
