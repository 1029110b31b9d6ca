"""The design note's "standard NTK-aware": one factor on all inverse frequencies."""

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Base, Positive


class NoteUniform(RoPE):
    """Multiplies every inverse frequency by alpha, verbatim from the design note.

    theta'_i = alpha theta_i, which is position interpolation by 1/alpha and, for alpha > 1, its
    opposite; the note calls it NTK-aware.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        alpha: The factor.
    """

    paper = "design note"
    stages = frozenset({"fine-tuned"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, alpha: Positive = 0.125):
        super().__init__(shape, base=base)
        self.alpha = alpha

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) * self.alpha, 1.0
