"""NTK-RoPE-fixed: a geometric factor over the rotary pairs."""

from posext.pe.base import Shape
from posext.pe.ntk_mixed import NTKMixed
from posext.utils.ranges import AtLeastOne, Auto, Base


class NTKFixed(NTKMixed):
    """Slows every rotary pair, by a factor that grows geometrically up to s at the slowest.

    theta'_i = theta_i s^(-(i+1)/(d/2)) (Su 2023). Settings are those of `ScaledRoPE`.
    """

    paper = "kexue.fm/archives/9706"
    stages = frozenset({"zero-shot"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, factor: AtLeastOne | Auto = "auto"):
        super().__init__(shape, base=base, factor=factor, power=1.0)
