"""The design note's "NTK-scaling": a polynomial over the rotary pairs."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Base, NonNegative


class NoteNTKPoly(RoPE):
    """Speeds up slow rotary pairs by a polynomial of their index, verbatim from the design note.

    theta'_i = theta_i (1 + alpha (i / D)^beta), where D is d_model. The factor is at least 1, so
    slow pairs become faster, by at most 17 % with D = head_dim and alpha 0.3.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        alpha: Height of the polynomial.
        beta: Power of the polynomial.
        denominator: The dimension D.
    """

    paper = "design note"
    stages = frozenset({"trained"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        alpha: NonNegative = 0.3,
        beta: NonNegative = 0.75,
        denominator: Literal["d_model", "head_dim"] = "d_model",
    ):
        super().__init__(shape, base=base)
        self.alpha = alpha
        self.beta = beta
        self.width = shape.d_model if denominator == "d_model" else shape.head_dim

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        pairs_R = torch.arange(self.shape.head_dim // 2, dtype=torch.float64)
        factor_R = 1 + self.alpha * (pairs_R / self.width) ** self.beta
        return self.inv_freq(self.base) * factor_R, 1.0
