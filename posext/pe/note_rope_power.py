"""The design note's "YaRN": every inverse frequency to the power 1/alpha."""

import logging
from typing import Any

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Base, Positive

log = logging.getLogger(__name__)


class NoteRoPEPower(RoPE):
    """Raises every inverse frequency to the power 1/alpha, verbatim from the design note.

    theta'_i = theta_i^(1/alpha), which is RoPE with base^(1/alpha); the note calls it YaRN. As
    theta_i <= 1, alpha > 1 speeds up every pair but the first, the opposite of an extension, and
    alpha < 1 slows them down; 1/alpha = 1 + d/(d-2) ln s / ln base is NTK-aware scaling by s.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies at alpha = 1.
        alpha: Inverse of the power.
    """

    paper = "design note"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, alpha: Positive = 2.0):
        super().__init__(shape, base=base)
        self.alpha = alpha
        if alpha > 1:
            log.warning("note_rope_power: alpha=%g %s", alpha, self.direction())

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) ** (1 / self.alpha), 1.0

    def direction(self) -> str:
        """Return the equivalent base and the direction of the change, in words."""
        if self.alpha > 1:
            effect = "speeds up every pair but the first"
        elif self.alpha < 1:
            effect = "slows down every pair but the first"
        else:
            effect = "changes nothing"
        return f"is RoPE with base {self.base ** (1 / self.alpha):.6g} and {effect}"

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "effective_base": self.base ** (1 / self.alpha),
            "direction": self.direction(),
        }
