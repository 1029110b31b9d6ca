"""YaRN's temperature, on any scheme."""

import math

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.utils.ranges import AtLeastOne, Auto


class YaRNTemperature(AttentionScale):
    """Sharpens attention with the context length, as YaRN does, without its interpolation.

    The factor is (0.1 ln s + 1)^2 on all logits, with s the context length over the original length
    (Peng et al. 2023, equation 22).

    Args:
        shape: Dimensions of the network.
        factor: The factor s; "auto": max(length, trained length) / original length.
    """

    paper = "arXiv:2309.00071"
    stages = frozenset({"fine-tuned", "zero-shot"})

    def __init__(self, shape: Shape, *, factor: AtLeastOne | Auto = "auto"):
        super().__init__(shape)
        self.factor = factor
        self.length_dependent = factor == "auto"

    def logit_scale(self, length: int, trained_length: int) -> Tensor:
        auto = max(length, trained_length) / self.shape.original_length
        s = auto if self.factor == "auto" else float(self.factor)
        return torch.full((length,), (0.1 * math.log(max(s, 1.0)) + 1) ** 2)
