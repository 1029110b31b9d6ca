"""A sliding window."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Turn, Window, near


class SlidingWindow(Window):
    """A query sees the last `size` keys, its own among them (Beltagy et al. 2020, arXiv:2004.05150, section 3.1).

    `size="auto"` is the original length: the baseline of a model that never looks further than it was trained to. Class T, I.
    Raises PosextError for a size below 1.
    """

    def __init__(self, shape: Shape, *, size: int | Literal["auto"] = "auto"):
        super().__init__(shape)
        self.size = self.tokens("window.size", size, shape.original_length)

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        return (KeyGroup(near(self.size), span=self.size),)
