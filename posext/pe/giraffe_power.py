"""Giraffe's power basis."""

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Base, NonNegative


class GiraffePower(RoPE):
    """Slows the rotary pairs by a power function of their index, the slowest pairs most.

    theta'_i = theta_i (1 - 2i/d)^power (Pal et al. 2023, section 3.2).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        power: A free setting in the paper.
    """

    paper = "arXiv:2308.10882"
    stages = frozenset({"fine-tuned"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, power: NonNegative = 0.1):
        super().__init__(shape, base=base)
        self.power = power

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        share_R = torch.arange(0, self.shape.head_dim, 2, dtype=torch.float64) / self.shape.head_dim
        return self.inv_freq(self.base) * (1 - share_R) ** self.power, 1.0
