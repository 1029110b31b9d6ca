"""Randomized positions."""

import numpy as np
import torch
from torch import Tensor

from posext.pe.base import PositionIds, Shape
from posext.position_ids.draws import generator
from posext.utils.errors import PosextError


class Randomized(PositionIds):
    """Positions are a sorted random subset of 0 .. `multiple` times the original length, in training and in evaluation.

    Ruoss et al. 2023, arXiv:2305.16843, section 3: one subset for each step; in evaluation one for each context length, drawn
    from as many positions as the context has where that is more. Class T. Raises PosextError for a multiple below 1.
    """

    def __init__(self, shape: Shape, *, multiple: float = 16.0):
        super().__init__(shape)
        if not 1 <= multiple < float("inf"):
            raise PosextError(f"position_ids.multiple must be at least 1, not {multiple}")
        self.limit = round(multiple * shape.original_length)

    def positions(self, length: int, draw: tuple[int, int] | None) -> Tensor:
        drawn = generator(draw or (0, length)).choice(
            max(self.limit, length), size=length, replace=False
        )
        return torch.from_numpy(np.sort(drawn))

    def reach(self, length: int) -> int:
        return max(self.limit, length)
