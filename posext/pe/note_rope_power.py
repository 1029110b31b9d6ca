"""The note's "YaRN": every frequency to the power 1/alpha."""

import logging
from typing import Any

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)


class NoteRoPEPower(RoPE):
    """theta'_i = theta_i^(1/alpha), verbatim from the design note, which calls it YaRN. It is RoPE with base^(1/alpha).

    As theta_i <= 1, alpha > 1 speeds every pair but the first up, the opposite of an extension; alpha < 1 slows them, and
    1/alpha = 1 + d/(d-2) ln s / ln base is NTK-aware scaling by s. Class T. Raises PosextError for an alpha of 0 or less.
    """

    def __init__(self, shape: Shape, *, base: float = 10000.0, alpha: float = 2.0):
        super().__init__(shape, base=base)
        if not 0 < alpha < float("inf"):
            raise PosextError(f"alpha must be a number above 0, not {alpha}")
        self.alpha = alpha
        if alpha > 1:
            log.warning("note_rope_power: alpha=%g %s", alpha, self.direction())

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) ** (1 / self.alpha), 1.0

    def direction(self) -> str:
        turns = (
            "speeds up every pair but the first"
            if self.alpha > 1
            else "slows down every pair but the first"
        )
        return f"is RoPE with base {self.base ** (1 / self.alpha):.6g} and {turns if self.alpha != 1 else 'changes nothing'}"

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "effective_base": self.base ** (1 / self.alpha),
            "direction": self.direction(),
        }
