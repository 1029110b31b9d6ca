"""Interpolation by parts, without an attention factor."""

from posext.pe.base import Shape
from posext.pe.by_parts import ByParts
from posext.utils.ranges import AtLeastOne, Auto, Base, Positive


class NTKByParts(ByParts):
    """Keeps fast rotary pairs, divides slow ones by s, and interpolates linearly in between.

    Pairs with more than beta_fast rotations within the original length stay, those with less than
    beta_slow are divided by s; the ramp is linear in rotations (bloc97 2023; Peng et al. 2023,
    section 3.2, equations 17-18, where they are called beta and alpha). Settings and errors are
    those of `ByParts`.
    """

    paper = "arXiv:2309.00071"
    stages = frozenset({"zero-shot"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        factor: AtLeastOne | Auto = "auto",
        beta_fast: Positive | Auto = 32.0,
        beta_slow: Positive = 1.0,
    ):
        super().__init__(
            shape,
            base=base,
            factor=factor,
            beta_fast=beta_fast,
            beta_slow=beta_slow,
            ramp="rotations",
        )
