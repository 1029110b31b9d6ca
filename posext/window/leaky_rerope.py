"""Leaky ReRoPE: distances that grow more slowly past a window."""

from torch import Tensor

from posext.pe.base import Shape, last_keys
from posext.pe.tables import KeyGroup
from posext.utils.ranges import AtLeastOne, Auto, Count
from posext.window.base import Rotate, Window, far


class LeakyReRoPE(Window):
    """Lets distances grow more slowly beyond a window.

    A distance d of at least w becomes w + (d - w) / k (Su 2023).

    Args:
        shape: Dimensions of the network.
        w: Exact distances in tokens; "auto": half the original length.
        k: Divisor of the distances beyond w; "auto": the smallest k that keeps all distances of the
            context within the original length, 1 up to that length.
    """

    paper = "kexue.fm/archives/9708"
    stages = frozenset({"inference"})
    remaps = True

    def __init__(
        self,
        shape: Shape,
        *,
        w: Count | Auto = "auto",
        k: AtLeastOne | Auto = "auto",
    ):
        super().__init__(shape)
        self.w = max(1, shape.original_length // 2) if w == "auto" else w
        self.k = k
        self.length_dependent = k == "auto"

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        if self.k == "auto":
            longest_distance = len(positions_T) - 1
            available = max(self.shape.original_length - 1 - self.w, 1)
            k = max(1.0, (longest_distance - self.w) / available)
        else:
            k = float(self.k)
        keys_T = positions_T.double() / k
        queries_T = keys_T + self.w * (1 - 1 / k)
        near_keys = last_keys(self.w)
        far_keys = KeyGroup(far(self.w), rotate(queries_T), rotate(keys_T))
        return near_keys, far_keys
