"""Self-Extend: grouped positions beyond a window."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Rotate, Window, far, near


class SelfExtend(Window):
    """Groups the positions of keys beyond a window, so that distances stay in the trained range.

    Keys at a distance of at least `window` get the distance
    floor(n / G) + window - floor(window / G) - floor(m / G) (Jin et al. 2024, section 3.2).

    Args:
        shape: Dimensions of the network.
        window: Exact distances in tokens; "auto": half the original length.
        group: Positions in a group, G; "auto": the smallest G that keeps all distances of the
            context within the original length, 1 up to that length.

    Raises:
        PosextError: window or group is below 1.
    """

    paper = "arXiv:2401.01325"
    stages = frozenset({"inference"})
    remaps = True

    def __init__(
        self,
        shape: Shape,
        *,
        window: int | Literal["auto"] = "auto",
        group: int | Literal["auto"] = "auto",
    ):
        super().__init__(shape)
        self.window = self.tokens("window.window", window, max(1, shape.original_length // 2))
        self.group = None if group == "auto" else self.tokens("window.group", group, 1)
        self.length_dependent = self.group is None

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        group = self.group or self.smallest_group(len(positions_T))
        keys_T = positions_T // group
        queries_T = keys_T + self.window - self.window // group
        near_keys = KeyGroup(near(self.window), span=self.window)
        far_keys = KeyGroup(far(self.window), rotate(queries_T), rotate(keys_T))
        return near_keys, far_keys

    def smallest_group(self, length: int) -> int:
        """Return the smallest G that keeps all distances within the original length.

        If none does, the result is `length`.
        """
        for group in range(1, length):
            longest_distance = (length - 1) // group + self.window - self.window // group
            if longest_distance < self.shape.original_length:
                return group
        return length
