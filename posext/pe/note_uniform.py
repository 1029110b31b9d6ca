"""The note's "standard NTK-aware": one factor for all frequencies."""

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError


class NoteUniform(RoPE):
    """theta'_i = alpha theta_i, verbatim from the design note, which calls it NTK-aware.

    It is position interpolation by 1/alpha, and for alpha > 1 its opposite. Class P. Raises PosextError for an alpha of 0
    or less.
    """

    def __init__(self, shape: Shape, *, base: float = 10000.0, alpha: float = 0.125):
        super().__init__(shape, base=base)
        if not 0 < alpha < float("inf"):
            raise PosextError(f"alpha must be a number above 0, not {alpha}")
        self.alpha = alpha

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) * self.alpha, 1.0
