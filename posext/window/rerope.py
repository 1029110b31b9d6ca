"""ReRoPE: distances capped at a window."""

import torch
from torch import Tensor

from posext.pe.base import Shape, last_keys
from posext.pe.tables import KeyGroup
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window, far


class ReRoPE(Window):
    """Gives all keys beyond a window the same distance.

    A distance of at least w becomes w (Su 2023).

    Args:
        shape: Dimensions of the network.
        w: The cap in tokens; "auto": half the original length.
    """

    paper = "kexue.fm/archives/9708"
    stages = frozenset({"inference"})
    remaps = True

    def __init__(self, shape: Shape, *, w: Count | Auto = "auto"):
        super().__init__(shape)
        self.w = max(1, shape.original_length // 2) if w == "auto" else w

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        capped = rotate(torch.full_like(positions_T, self.w))
        origin = rotate(torch.zeros_like(positions_T))
        near_keys = last_keys(self.w)
        far_keys = KeyGroup(far(self.w), capped, origin)
        return near_keys, far_keys
