"""DroPE's temperature, for networks without positions."""

import math

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.utils.ranges import AtLeastOne, Auto, NonNegative


class DroPETemperature(AttentionScale):
    """Sharpens attention with the context length: the factor is 1 + c ln s on all logits.

    s is the context length over the original length (Gelberg et al. 2025, section 4).

    Args:
        shape: Dimensions of the network.
        c: The coefficient: their 0.412 is for a network that dropped its positions in training from
            scratch, their 0.103 for one that was pretrained with them.
        factor: The factor s; "auto": max(length, trained length) / original length.
    """

    paper = "arXiv:2512.12167"
    stages = frozenset({"zero-shot"})

    def __init__(self, shape: Shape, *, c: NonNegative = 0.412, factor: AtLeastOne | Auto = "auto"):
        super().__init__(shape)
        self.c = c
        self.factor = factor
        self.length_dependent = factor == "auto"

    def logit_scale(self, length: int, trained_length: int) -> Tensor:
        auto = max(length, trained_length) / self.shape.original_length
        s = auto if self.factor == "auto" else float(self.factor)
        return torch.full((length,), 1 + self.c * math.log(max(s, 1.0)))
