"""Temperature of Llama 4."""

from typing import ClassVar

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.utils.ranges import Auto, Count, NonNegative


class Llama4(AttentionScale):
    """Sharpens attention with the position of the query, in steps of floor_scale tokens.

    The factor is 1 + attn_scale ln(1 + floor((n + 1) / floor_scale)) for query n, as on the
    layers without positions of Llama 4.

    Args:
        shape: Dimensions of the network.
        attn_scale: Factor on the logarithm.
        floor_scale: Tokens of a step; "auto": the original length (8,192 in Llama 4, its length of
            pre-training).
    """

    paper = "Llama 4 (Meta 2025)"
    stages = frozenset({"trained", "inference"})

    former_settings: ClassVar[dict[str, str]] = {"strength": "attn_scale", "floor": "floor_scale"}

    def __init__(
        self, shape: Shape, *, attn_scale: NonNegative = 0.1, floor_scale: Count | Auto = "auto"
    ):
        super().__init__(shape)
        self.floor_scale = shape.original_length if floor_scale == "auto" else floor_scale
        self.attn_scale = attn_scale

    def logit_scale(self, length: int, trained_length: int) -> Tensor:
        steps_T = torch.arange(1, length + 1, dtype=torch.float64) // self.floor_scale
        return (1 + self.attn_scale * steps_T.log1p()).float()
