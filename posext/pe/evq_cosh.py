"""EVQ-Cosh: rotary frequencies at the quantiles of a cosh density."""

import math
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Auto, Base


class EVQCosh(RoPE):
    """Gives more of the rotary pairs to fast frequencies, at the quantiles of a cosh density.

    theta_k = base^(-phi_k) with phi_k = 1 - arsinh((1 - u_k) sinh tau) / tau and the quantiles
    u_k = (k + 1/2) / (d/2), as in the authors' code (`scripts/lib/rope/schedules.py`). At tau = 0
    phi_k = u_k: RoPE's spacing, half a step slower.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        tau: Strength of the density; "auto": head_dim / sqrt(original_length).
    """

    paper = "github.com/misaya-yang/hybrid-rope"
    stages = frozenset({"trained"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        tau: Annotated[float, Ge(0), Le(100)] | Auto = "auto",
    ):
        super().__init__(shape, base=base)
        self.tau = shape.head_dim / math.sqrt(shape.original_length) if tau == "auto" else tau

    def inv_freq(self, base: float) -> Tensor:
        pairs = self.shape.head_dim // 2
        u_R = (torch.arange(pairs, dtype=torch.float64) + 0.5) / pairs
        if self.tau == 0:
            return base**-u_R
        phi_R = 1 - ((1 - u_R) * math.sinh(self.tau)).asinh() / self.tau
        return base**-phi_R
