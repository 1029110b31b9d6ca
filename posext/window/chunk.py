"""Chunked local attention."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Turn, Window


class Chunk(Window):
    """A query sees the keys up to its own within its chunk of `size` tokens, counted from the start of the context.

    The local layers of Llama 4 (its `attention_chunk_size`). `size="auto"` is the original length. Class T, I.
    Raises PosextError for a size below 1.
    """

    def __init__(self, shape: Shape, *, size: int | Literal["auto"] = "auto"):
        super().__init__(shape)
        self.size = self.tokens("window.size", size, shape.original_length)

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        return (KeyGroup(lambda n, m: n // self.size == m // self.size, span=self.size),)
