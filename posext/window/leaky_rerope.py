"""Leaky ReRoPE: distances that grow more slowly past a window."""

import math
from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.utils.errors import PosextError
from posext.window.base import Turn, Window, far, near


class LeakyReRoPE(Window):
    """A distance d of at least w is seen as w + (d - w) / k.

    Su 2023, https://kexue.fm/archives/9708 . `w="auto"` is half the original length; `k="auto"` the least that keeps every
    distance of the context within the original length, 1 in range. Class I. Raises PosextError for w below 1 or k below 1.
    """

    remaps = True

    def __init__(
        self,
        shape: Shape,
        *,
        w: int | Literal["auto"] = "auto",
        k: float | Literal["auto"] = "auto",
    ):
        super().__init__(shape)
        self.w = self.tokens("window.w", w, max(1, shape.original_length // 2))
        if k != "auto" and not 1 <= k < math.inf:
            raise PosextError(f"window.k must be at least 1, or auto, not {k}")
        self.k, self.length_dependent = k, k == "auto"

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        room = max(self.shape.original_length - 1 - self.w, 1)
        k = max(1.0, (len(positions_T) - 1 - self.w) / room) if self.k == "auto" else float(self.k)
        keys_T = positions_T.double() / k
        return KeyGroup(near(self.w), span=self.w), KeyGroup(
            far(self.w), turn(keys_T + self.w * (1 - 1 / k)), turn(keys_T)
        )
