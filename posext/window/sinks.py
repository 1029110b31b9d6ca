"""Attention sinks."""

from typing import ClassVar

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.utils.errors import PosextError
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window


class Sinks(Window):
    """Restricts a query to the first keys and the last ones, at their positions within the cache.

    Xiao et al. 2023, section 3.2 (StreamingLLM): the cache holds only these keys, so query n stands
    at min(n, start_size + recent_size - 1) for the sinks.

    Args:
        shape: Dimensions of the network.
        recent_size: Last keys; "auto": fills the original length together with the sinks.
        start_size: First keys of the context, the sinks.

    Raises:
        PosextError: The sinks leave no other key in the original length.
    """

    paper = "arXiv:2309.17453"
    stages = frozenset({"inference"})
    remaps = True

    former_settings: ClassVar[dict[str, str]] = {"size": "recent_size", "sinks": "start_size"}

    def __init__(self, shape: Shape, *, recent_size: Count | Auto = "auto", start_size: Count = 4):
        super().__init__(shape)
        self.start_size = start_size
        available = shape.original_length - start_size
        self.recent_size = available if recent_size == "auto" else recent_size
        if self.recent_size < 1:
            raise PosextError(
                f"window.start_size={start_size} leaves no recent key "
                f"in {shape.original_length} tokens"
            )

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        recent = self.recent_size
        start = self.start_size
        queries_T = positions_T.clamp(max=start + recent - 1)
        last_keys = KeyGroup(lambda n, m: (n - m < recent) & (m >= start), span=recent)
        sink_keys = KeyGroup(
            lambda n, m: m < start, rotate(queries_T), rotate(positions_T), first=start
        )
        return last_keys, sink_keys
