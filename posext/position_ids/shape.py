"""SHAPE: shifted absolute positions."""

import torch
from torch import Tensor

from posext.pe.base import PositionIds
from posext.pe.base import Shape as Network
from posext.position_ids.draws import generator
from posext.utils.ranges import Auto, Natural


class SHAPE(PositionIds):
    """Shifts all positions of a training context by the same random number.

    The shift is uniform over 0 .. `largest` in training and 0 in evaluation (Kiyono et al. 2021,
    section 3; one shift per sequence in the paper, one per step here). It changes absolute schemes
    only.

    Args:
        shape: Dimensions of the network.
        largest: Largest shift; "auto": the original length.
    """

    paper = "arXiv:2109.05644"
    stages = frozenset({"trained"})

    def __init__(self, shape: Network, *, largest: Natural | Auto = "auto"):
        super().__init__(shape)
        self.largest = shape.original_length if largest == "auto" else largest

    def positions(self, length: int, rng_key: tuple[int, int] | None) -> Tensor:
        shift = 0 if rng_key is None else int(generator(rng_key).integers(0, self.largest + 1))
        return torch.arange(shift, shift + length)
