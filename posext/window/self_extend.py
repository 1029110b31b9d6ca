"""Self-Extend: grouped positions past a window."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Turn, Window, far, near


class SelfExtend(Window):
    """Keys at least `window` back are seen at floor(n / G) + window - floor(window / G) - floor(m / G).

    Jin et al. 2024, arXiv:2401.01325, section 3.2. `window="auto"` is half the original length; `group="auto"` the least G that
    keeps every distance of the context within the original length, 1 in range. Class I.
    Raises PosextError for a window or group below 1.
    """

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

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        group = self.group or self.least_group(len(positions_T))
        keys_T = positions_T // group
        shifted_T = keys_T + self.window - self.window // group
        return KeyGroup(near(self.window), span=self.window), KeyGroup(
            far(self.window), turn(shifted_T), turn(keys_T)
        )

    def least_group(self, length: int) -> int:
        """The smallest G at which the largest distance stays within the original length; the length itself if none does."""
        for group in range(1, length):
            if (
                length - 1
            ) // group + self.window - self.window // group < self.shape.original_length:
                return group
        return length
