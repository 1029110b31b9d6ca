"""Base class of RoPE's scalings by a factor s."""

from posext.pe.base import PositionalEncoding, Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import AtLeastOne, Auto, Base


class ScaledRoPE(RoPE):
    """RoPE with a factor s.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, which holds at every length; "auto":
            s(L) = max(L, trained_length) / original_length at context length L. That is 1 up to
            the original length until training goes further, so the scheme is RoPE bit for bit
            there. It is relative to the original length, so that stages of training do not
            compound. Where a stage of training has a window w, s = max(1, w / original_length).
    """

    rope_at_factor_one = True

    def __init__(self, shape: Shape, *, base: Base = 10000.0, factor: AtLeastOne | Auto = "auto"):
        super().__init__(shape, base=base)
        self.factor = factor
        self.length_dependent = factor == "auto"

    def scale(self, length: int) -> float:
        """Return the factor s in a context of `length` tokens."""
        return factor_at(self, self.factor, length)


def factor_at(scheme: PositionalEncoding, factor: float | str, length: int) -> float:
    """Return a factor in a context of `length` tokens; "auto" is explained in `ScaledRoPE`."""
    if factor != "auto":
        return float(factor)
    if scheme.stage_window is not None:
        return max(1.0, scheme.stage_window / scheme.shape.original_length)
    return max(length, scheme.trained_length) / scheme.shape.original_length
