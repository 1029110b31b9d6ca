"""Dual chunk attention."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.utils.errors import PosextError
from posext.window.base import Turn, Window


class DualChunk(Window):
    """Contexts in chunks of s tokens, with distances below c: exact within a chunk and to the end of the one before.

    An et al. 2024, arXiv:2402.17463, section 3. A key stands at m mod s; a query at n mod s for its own chunk, at
    min(s + n mod s, c - 1) for the chunk before, and at c - 1 for all earlier ones. `longest="auto"` is c = 3/4 of the original
    length and `local="auto"` an eighth of it, as in the authors' code; s = c - local. Class I.
    Raises PosextError for a local window that leaves no chunk.
    """

    remaps = True

    def __init__(
        self,
        shape: Shape,
        *,
        longest: int | Literal["auto"] = "auto",
        local: int | Literal["auto"] = "auto",
    ):
        super().__init__(shape)
        self.longest = self.tokens(
            "window.longest", longest, max(2, shape.original_length * 3 // 4)
        )
        self.local = self.tokens("window.local", local, max(1, shape.original_length // 8))
        self.chunk = self.longest - self.local
        if self.chunk < 1:
            raise PosextError(
                f"window.local={self.local} leaves no chunk of window.longest={self.longest}"
            )

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        chunk = self.chunk
        inside_T = positions_T % chunk
        keys = turn(inside_T)

        def back(*chunks: int) -> KeyGroup:
            """The keys that lie so many chunks back; the last number stands for all beyond."""
            at_T = (
                (inside_T + chunks[0] * chunk).clamp(max=self.longest - 1)
                if chunks[0] < 2
                else None
            )
            queries = (
                keys
                if not chunks[0]
                else turn(inside_T * 0 + self.longest - 1 if at_T is None else at_T)
            )
            if chunks[0] == 2:
                return KeyGroup(lambda n, m: n // chunk - m // chunk >= 2, queries, keys)
            return KeyGroup(lambda n, m: n // chunk - m // chunk == chunks[0], queries, keys)

        return back(0), back(1), back(2)
