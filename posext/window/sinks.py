"""Attention sinks."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Rotate, Window


class Sinks(Window):
    """Restricts a query to the first keys and the last ones, at their positions within the cache.

    Xiao et al. 2023, section 3.2 (StreamingLLM): the cache holds only these keys, so query n stands
    at min(n, sinks + size - 1) for the sinks.

    Args:
        shape: Dimensions of the network.
        size: Last keys; "auto": fills the original length together with the sinks.
        sinks: First keys of the context.

    Raises:
        PosextError: size or sinks is below 1.
    """

    paper = "arXiv:2309.17453"
    stages = frozenset({"inference"})
    remaps = True

    def __init__(self, shape: Shape, *, size: int | Literal["auto"] = "auto", sinks: int = 4):
        super().__init__(shape)
        self.sinks = self.tokens("window.sinks", sinks, sinks)
        self.size = self.tokens("window.size", size, shape.original_length - sinks)

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        size = self.size
        sinks = self.sinks
        queries_T = positions_T.clamp(max=sinks + size - 1)
        last_keys = KeyGroup(lambda n, m: (n - m < size) & (m >= sinks), span=size)
        sink_keys = KeyGroup(
            lambda n, m: m < sinks, rotate(queries_T), rotate(positions_T), first=sinks
        )
        return last_keys, sink_keys
