"""PoSE: positions that skip."""

import torch
from torch import Tensor

from posext.pe.base import PositionIds, Shape
from posext.position_ids.draws import generator
from posext.utils.errors import PosextError


class PoSE(PositionIds):
    """In training the context is cut in two at a random place, and the second part's positions skip ahead by a random number.

    Zhu et al. 2023, arXiv:2309.10400, section 3 with two chunks (a skip for each sequence there, here one for each step):
    distances up to `multiple` times the original length are seen at short lengths. An automatic factor of the scheme
    counts the whole range as trained. In evaluation positions are 0, 1, 2, .. Class P.
    Raises PosextError for a multiple below 1.
    """

    def __init__(self, shape: Shape, *, multiple: float = 16.0):
        super().__init__(shape)
        if not 1 <= multiple < float("inf"):
            raise PosextError(f"position_ids.multiple must be at least 1, not {multiple}")
        self.limit = round(multiple * shape.original_length)

    def positions(self, length: int, draw: tuple[int, int] | None) -> Tensor:
        positions_T = torch.arange(length)
        if draw is not None and length > 1:
            rng = generator(draw)
            cut, skip = (
                int(rng.integers(1, length)),
                int(rng.integers(0, max(self.limit - length, 0) + 1)),
            )
            positions_T[cut:] += skip
        return positions_T

    def reach(self, length: int) -> int:
        return max(self.limit, length)
