"""A soft clip of low frequencies."""

import math

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError


class Clipped(RoPE):
    """The slowest pairs are damped by half a cosine, from 1 down to 0 at the slowest (arXiv:2602.05258, CoPE: clipped).

    `share` of the pairs is damped: 20 of the 64 pairs of a head_dim of 128 there. Not the contextual CoPE. Class P, Z.
    Raises PosextError unless 0 <= share <= 1.
    """

    def __init__(self, shape: Shape, *, base: float = 10000.0, share: float = 0.3125):
        super().__init__(shape, base=base)
        if not 0 <= share <= 1:
            raise PosextError(f"share must lie between 0 and 1, not {share}")
        self.damped = round(share * shape.head_dim / 2)

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        inv_freq_R = self.inv_freq(self.base)
        damping = (1 + torch.cos(torch.linspace(0, math.pi, self.damped, dtype=torch.float64))) / 2
        return torch.cat(
            (
                inv_freq_R[: len(inv_freq_R) - self.damped],
                inv_freq_R[len(inv_freq_R) - self.damped :] * damping,
            )
        ), 1.0
