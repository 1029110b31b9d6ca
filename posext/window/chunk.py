"""Chunked local attention."""

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window


class Chunk(Window):
    """Restricts a query to the keys of its own chunk, counted from the start of the context.

    The local layers of Llama 4 (its `attention_chunk_size`).

    Args:
        shape: Dimensions of the network.
        size: Tokens in a chunk; "auto": the original length.
    """

    paper = "Llama 4 (Meta 2025)"
    stages = frozenset({"trained", "inference"})

    def __init__(self, shape: Shape, *, size: Count | Auto = "auto"):
        super().__init__(shape)
        self.size = shape.original_length if size == "auto" else size

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        return (KeyGroup(lambda n, m: n // self.size == m // self.size, span=self.size),)
