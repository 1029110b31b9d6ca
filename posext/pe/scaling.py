"""What the scalings of RoPE share: a factor s, given or taken from the context length."""

import math
from typing import Literal

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError


class ScaledRoPE(RoPE):
    """RoPE with a factor s.

    `factor="auto"` means s(L) = max(L, trained_length) / original_length: 1 in range until training has gone further, so
    that in range it is RoPE bit for bit, and always counted from the original length, so that stages do not compound.
    A number holds at every length. Raises PosextError for a factor below 1 or not finite.
    """

    rope_at_factor_one = True

    def __init__(
        self, shape: Shape, *, base: float = 10000.0, factor: float | Literal["auto"] = "auto"
    ):
        super().__init__(shape, base=base)
        if factor != "auto" and not (1 <= factor < math.inf):
            raise PosextError(
                f"factor must be a finite number of at least 1, or auto, not {factor}"
            )
        self.factor = factor
        self.length_dependent = factor == "auto"

    def scale(self, length: int) -> float:
        """The factor s in a context of `length` tokens."""
        if self.factor == "auto":
            return max(length, self.trained_length) / self.shape.original_length
        return float(self.factor)
