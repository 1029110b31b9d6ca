"""Attention sinks."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Turn, Window


class Sinks(Window):
    """The first `sinks` keys and the last `size`, with the positions they have in a cache that holds only these.

    Xiao et al. 2023, arXiv:2309.17453, section 3.2 (StreamingLLM): query n stands at min(n, sinks + size - 1) as the sinks see
    it. `size="auto"` fills the original length. Class I. Raises PosextError for a size or sinks below 1.
    """

    remaps = True

    def __init__(self, shape: Shape, *, size: int | Literal["auto"] = "auto", sinks: int = 4):
        super().__init__(shape)
        self.sinks = self.tokens("window.sinks", sinks, sinks)
        self.size = self.tokens("window.size", size, shape.original_length - sinks)

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        size, sinks = self.size, self.sinks
        return (
            KeyGroup(lambda n, m: (n - m < size) & (m >= sinks), span=size),
            KeyGroup(
                lambda n, m: m < sinks,
                turn(positions_T.clamp(max=sinks + size - 1)),
                turn(positions_T),
                first=sinks,
            ),
        )
