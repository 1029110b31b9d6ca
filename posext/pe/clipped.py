"""Soft clipping of low frequencies."""

import math

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Base, Share


class Clipped(RoPE):
    """Slows the slowest rotary pairs, by half a cosine from 1 down to 0 at the slowest.

    The paper calls it CoPE (clipped); it is not the contextual CoPE.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        share: Share of the pairs that is slowed: 20 of the 64 pairs of head dimension 128 in the
            paper.
    """

    paper = "arXiv:2602.05258"
    stages = frozenset({"fine-tuned", "zero-shot"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, share: Share = 0.3125):
        super().__init__(shape, base=base)
        self.damped = round(share * shape.head_dim / 2)

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        inv_freq_R = self.inv_freq(self.base)
        damping = (1 + torch.cos(torch.linspace(0, math.pi, self.damped, dtype=torch.float64))) / 2
        first_damped = len(inv_freq_R) - self.damped
        kept_R = inv_freq_R[:first_damped]
        damped_R = inv_freq_R[first_damped:] * damping
        return torch.cat((kept_R, damped_R)), 1.0
