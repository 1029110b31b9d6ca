"""NTK-RoPE-mixed: a stretched exponential over the rotary pairs."""

import math

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.ranges import AtLeastOne, Auto, Base, NonNegative


class NTKMixed(ScaledRoPE):
    """Slows every rotary pair, by a stretched exponential of its index up to s at the slowest.

    theta'_i = theta_i exp(-a (i+1)^power) with a = ln s / (d/2)^power (Su 2023).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        power: 0.625 in the source; 1 is NTK-RoPE-fixed, 0 is position interpolation.
    """

    paper = "kexue.fm/archives/9706"
    stages = frozenset({"zero-shot"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        factor: AtLeastOne | Auto = "auto",
        power: NonNegative = 0.625,
    ):
        super().__init__(shape, base=base, factor=factor)
        self.power = power

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        pairs = self.shape.head_dim // 2
        share_R = (torch.arange(1, pairs + 1, dtype=torch.float64) / pairs) ** self.power
        return self.inv_freq(self.base) * torch.exp(-math.log(self.scale(length)) * share_R), 1.0
