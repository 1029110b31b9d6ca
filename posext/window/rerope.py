"""ReRoPE: one distance for all keys past a window."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Turn, Window, far, near


class ReRoPE(Window):
    """A distance of at least w is seen as w.

    Su 2023, https://kexue.fm/archives/9708 ; `w="auto"` is half the original length. Class I. Raises PosextError for w below 1.
    """

    remaps = True

    def __init__(self, shape: Shape, *, w: int | Literal["auto"] = "auto"):
        super().__init__(shape)
        self.w = self.tokens("window.w", w, max(1, shape.original_length // 2))

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        rectified, start = (
            turn(torch.full_like(positions_T, self.w)),
            turn(torch.zeros_like(positions_T)),
        )
        return KeyGroup(near(self.w), span=self.w), KeyGroup(far(self.w), rectified, start)
