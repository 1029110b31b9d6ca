"""Temperature of Llama 4."""

import math
from typing import Literal

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.utils.errors import PosextError


class Llama4(AttentionScale):
    """Sharpens attention with the position of the query, in steps of `floor` tokens.

    The factor is 1 + strength ln(1 + floor((n + 1) / floor)) for query n, as on the layers without
    positions of Llama 4.

    Args:
        shape: Dimensions of the network.
        strength: Factor on the logarithm.
        floor: Tokens of a step; "auto": the original length (8,192 in Llama 4, its length of
            pre-training).

    Raises:
        PosextError: floor is below 1, or strength is negative or not finite.
    """

    paper = "Llama 4 (Meta 2025)"
    stages = frozenset({"trained", "inference"})

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

    def logit_scale(self, length: int, trained_length: int) -> Tensor:
        steps_T = torch.arange(1, length + 1, dtype=torch.float64) // self.floor
        return (1 + self.strength * steps_T.log1p()).float()
