"""Randomized positional encodings."""

import numpy as np
import torch
from torch import Tensor

from posext.pe.base import PositionIds, Shape
from posext.position_ids.draws import generator
from posext.utils.ranges import AtLeastOne


class Randomized(PositionIds):
    """Draws the positions of a context as a sorted random subset of a longer range.

    The range is 0 .. `multiple` times the original length, in training and in evaluation (Ruoss et
    al. 2023, section 3). Training draws one subset per step. Evaluation draws one per context
    length, from 0 .. that length for longer contexts.

    Args:
        shape: Dimensions of the network.
        multiple: Range of the positions over the original length.
    """

    paper = "arXiv:2305.16843"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, multiple: AtLeastOne = 16.0):
        super().__init__(shape)
        self.limit = round(multiple * shape.original_length)

    def positions(self, length: int, rng_key: tuple[int, int] | None) -> Tensor:
        rng = generator(rng_key or (0, length))
        positions_T = rng.choice(max(self.limit, length), size=length, replace=False)
        return torch.from_numpy(np.sort(positions_T))

    def effective_length(self, length: int) -> int:
        return max(self.limit, length)
