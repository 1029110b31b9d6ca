"""NTK-RoPE-fixed: a geometric factor over the pairs."""

from typing import Literal

from posext.pe.base import Shape
from posext.pe.ntk_mixed import NTKMixed


class NTKFixed(NTKMixed):
    """theta'_i = theta_i s^(-(i+1)/(d/2)): every pair slows, the last by s (Su 2023, kexue.fm/archives/9706).

    Class Z.
    """

    def __init__(
        self, shape: Shape, *, base: float = 10000.0, factor: float | Literal["auto"] = "auto"
    ):
        super().__init__(shape, base=base, factor=factor, power=1.0)
