"""Sliding window."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Rotate, Window, near


class SlidingWindow(Window):
    """Restricts a query to the last `size` keys, its own included.

    Beltagy et al. 2020, section 3.1. At the default size it is the baseline of a model that attends
    no further than in training.

    Args:
        shape: Dimensions of the network.
        size: Keys in the window; "auto": the original length.

    Raises:
        PosextError: size is below 1.
    """

    paper = "arXiv:2004.05150"
    stages = frozenset({"trained", "inference"})

    def __init__(self, shape: Shape, *, size: int | Literal["auto"] = "auto"):
        super().__init__(shape)
        self.size = self.tokens("window.size", size, shape.original_length)

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        return (KeyGroup(near(self.size), span=self.size),)
