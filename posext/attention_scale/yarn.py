"""YaRN's temperature, on any scheme."""

import math
from typing import Literal

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.utils.errors import PosextError


class YaRNTemperature(AttentionScale):
    """(0.1 ln s + 1)^2 on all scores, with s the context length over the original (Peng et al. 2023, arXiv:2309.00071, eq. 22).

    `factor="auto"` follows the context: s = max(length, trained length) / original length. Class P, Z.
    Raises PosextError for a factor below 1.
    """

    def __init__(self, shape: Shape, *, factor: float | Literal["auto"] = "auto"):
        super().__init__(shape)
        if factor != "auto" and not 1 <= factor < math.inf:
            raise PosextError(f"factor must be at least 1, or auto, not {factor}")
        self.factor, self.length_dependent = factor, factor == "auto"

    def multiplier(self, length: int, trained_length: int) -> Tensor:
        s = (
            max(length, trained_length) / self.shape.original_length
            if self.factor == "auto"
            else float(self.factor)
        )
        return torch.full((length,), (0.1 * math.log(max(s, 1.0)) + 1) ** 2)
