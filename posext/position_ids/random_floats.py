"""Random float positions."""

import numpy as np
import torch
from torch import Tensor

from posext.pe.base import PositionalEncoding, PositionIds, Shape
from posext.position_ids.draws import generator
from posext.utils.ranges import AtLeastOne


class RandomFloats(PositionIds):
    """Draws the positions of a training context as sorted random numbers, not whole ones.

    They are uniform over a range (Shimizu et al. 2026, random float sampling), with one draw per
    step. In evaluation the i-th of T tokens, from 0 on, is at (i + 1/2) / max(T, original length)
    of the range, so longer contexts are denser and stay within it. The paper's range is 0 to 1;
    this one is in tokens. Schemes that look up whole distances or positions refuse them.

    Args:
        shape: Dimensions of the network.
        multiple: Range of the positions over the original length; at 1 neighbours are one token
            apart on average.
    """

    paper = "arXiv:2602.14050"
    stages = frozenset({"trained"})
    length_dependent = True

    def __init__(self, shape: Shape, *, multiple: AtLeastOne = 1.0):
        super().__init__(shape)
        self.limit = round(multiple * shape.original_length)

    def check(self, scheme: PositionalEncoding) -> None:
        position_T = torch.tensor([0.5], dtype=torch.float64)
        scheme.embed(torch.zeros(1, 1, self.shape.d_model), position_T)
        scheme.bias(position_T)

    def positions(self, length: int, rng_key: tuple[int, int] | None) -> Tensor:
        if rng_key is None:
            share_T = (torch.arange(length).double() + 0.5) / max(
                length, self.shape.original_length
            )
        else:
            share_T = torch.from_numpy(np.sort(generator(rng_key).random(length)))
        return share_T * self.limit

    def effective_length(self, length: int) -> int:
        return max(self.limit, length)
