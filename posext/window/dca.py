"""Dual chunk attention."""

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.utils.errors import PosextError
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window


class DualChunk(Window):
    """Keeps all distances below c: exact within a chunk and near the border, capped beyond.

    Chunks have s = c - local tokens (An et al. 2024, section 3). A key stands at m mod s; a query
    stands at n mod s for its own chunk, at min(s + n mod s, c - 1) for the chunk before, and at
    c - 1 for all earlier chunks. The defaults are those of the authors' code.

    Args:
        shape: Dimensions of the network.
        longest: The bound c in tokens; "auto": 3/4 of the original length.
        local: Exact distances across the border of two chunks; "auto": an eighth of the original
            length.

    Raises:
        PosextError: local leaves no chunk.
    """

    paper = "arXiv:2402.17463"
    stages = frozenset({"inference"})
    remaps = True

    def __init__(
        self,
        shape: Shape,
        *,
        longest: Count | Auto = "auto",
        local: Count | Auto = "auto",
    ):
        super().__init__(shape)
        length = shape.original_length
        self.longest = max(2, length * 3 // 4) if longest == "auto" else longest
        self.local = max(1, length // 8) if local == "auto" else local
        self.chunk = self.longest - self.local
        if self.chunk < 1:
            raise PosextError(
                f"window.local={self.local} leaves no chunk of window.longest={self.longest}"
            )

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        chunk = self.chunk
        furthest = self.longest - 1
        inside_T = positions_T % chunk
        keys = rotate(inside_T)
        same_chunk = KeyGroup(lambda n, m: n // chunk == m // chunk, keys, keys)
        previous_chunk = KeyGroup(
            lambda n, m: n // chunk - m // chunk == 1,
            rotate((inside_T + chunk).clamp(max=furthest)),
            keys,
        )
        earlier_chunks = KeyGroup(
            lambda n, m: n // chunk - m // chunk >= 2,
            rotate(torch.full_like(inside_T, furthest)),
            keys,
        )
        return same_chunk, previous_chunk, earlier_chunks
