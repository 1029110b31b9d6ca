"""Self-Extend: grouped positions beyond a window."""

from typing import ClassVar

from torch import Tensor

from posext.pe.base import Shape, last_keys
from posext.pe.tables import KeyGroup
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window, far


class SelfExtend(Window):
    """Groups the positions of keys beyond a window, so that distances stay in the trained range.

    Keys at a distance of at least w, neighbor_size, get the distance
    floor(n / G) + w - floor(w / G) - floor(m / G) (Jin et al. 2024, section 3.2).

    Args:
        shape: Dimensions of the network.
        neighbor_size: Exact distances in tokens; "auto": half the original length.
        group_size: Positions in a group, G; "auto": the smallest G that keeps all distances of the
            context within the original length, 1 up to that length.
    """

    paper = "arXiv:2401.01325"
    stages = frozenset({"inference"})
    remaps = True
    former_settings: ClassVar[dict[str, str]] = {"window": "neighbor_size", "group": "group_size"}

    def __init__(
        self,
        shape: Shape,
        *,
        neighbor_size: Count | Auto = "auto",
        group_size: Count | Auto = "auto",
    ):
        super().__init__(shape)
        half = max(1, shape.original_length // 2)
        self.neighbor_size = half if neighbor_size == "auto" else neighbor_size
        self.group_size = None if group_size == "auto" else group_size
        self.length_dependent = self.group_size is None

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        group = self.group_size or self.smallest_group(len(positions_T))
        keys_T = positions_T // group
        queries_T = keys_T + self.neighbor_size - self.neighbor_size // group
        near_keys = last_keys(self.neighbor_size)
        far_keys = KeyGroup(far(self.neighbor_size), rotate(queries_T), rotate(keys_T))
        return near_keys, far_keys

    def smallest_group(self, length: int) -> int:
        """Return the smallest G that keeps all distances within the original length.

        If none does, the result is `length`.
        """
        for group in range(1, length):
            longest_distance = (
                (length - 1) // group + self.neighbor_size - self.neighbor_size // group
            )
            if longest_distance < self.shape.original_length:
                return group
        return length
