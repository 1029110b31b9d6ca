"""The note's "NTK-scaling": a polynomial over the pairs."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError


class NoteNTKPoly(RoPE):
    """theta'_i = theta_i (1 + alpha (i / D)^beta), verbatim from the design note, where D is d_model.

    The factor is 1 or more, so slow pairs speed up, by at most 17 % with D = head_dim and alpha 0.3. Class T.
    Raises PosextError for an alpha or beta below 0.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        alpha: float = 0.3,
        beta: float = 0.75,
        denominator: Literal["d_model", "head_dim"] = "d_model",
    ):
        super().__init__(shape, base=base)
        if not (0 <= alpha < float("inf") and 0 <= beta < float("inf")):
            raise PosextError(
                f"alpha and beta must be numbers of at least 0, not {alpha} and {beta}"
            )
        self.alpha, self.beta = alpha, beta
        self.width = shape.d_model if denominator == "d_model" else shape.head_dim

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        pairs_R = torch.arange(self.shape.head_dim // 2, dtype=torch.float64)
        return self.inv_freq(self.base) * (
            1 + self.alpha * (pairs_R / self.width) ** self.beta
        ), 1.0
