"""NTK-RoPE-mixed: a stretched exponential over the rotary pairs."""

import math
from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError


class NTKMixed(ScaledRoPE):
    """Slows every rotary pair, by a stretched exponential of its index up to s at the slowest.

    theta'_i = theta_i exp(-a (i+1)^power) with a = ln s / (d/2)^power (Su 2023).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        power: 0.625 in the source; 1 is NTK-RoPE-fixed, 0 is position interpolation.

    Raises:
        PosextError: power is below 0 or not finite.
    """

    paper = "kexue.fm/archives/9706"
    stages = frozenset({"zero-shot"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        factor: float | Literal["auto"] = "auto",
        power: float = 0.625,
    ):
        super().__init__(shape, base=base, factor=factor)
        if not 0 <= power < math.inf:
            raise PosextError(f"power must be a number of at least 0, not {power}")
        self.power = power

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        pairs = self.shape.head_dim // 2
        share_R = (torch.arange(1, pairs + 1, dtype=torch.float64) / pairs) ** self.power
        return self.inv_freq(self.base) * torch.exp(-math.log(self.scale(length)) * share_R), 1.0
