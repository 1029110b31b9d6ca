"""Sliding window."""

from torch import Tensor

from posext.pe.base import Shape, last_keys
from posext.pe.tables import KeyGroup
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window


class SlidingWindow(Window):
    """Restricts a query to the last `size` keys, its own included.

    Beltagy et al. 2020, section 3.1. At the default size it is the baseline of a model that attends
    no further than in training.

    Args:
        shape: Dimensions of the network.
        size: Keys in the window; "auto": the original length.
    """

    paper = "arXiv:2004.05150"
    stages = frozenset({"trained", "inference"})

    def __init__(self, shape: Shape, *, size: Count | Auto = "auto"):
        super().__init__(shape)
        self.size = shape.original_length if size == "auto" else size

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        return (last_keys(self.size),)
