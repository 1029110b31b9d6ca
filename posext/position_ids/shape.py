"""SHAPE: absolute positions under a random shift."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import PositionIds
from posext.pe.base import Shape as Network
from posext.position_ids.draws import generator
from posext.utils.errors import PosextError


class SHAPE(PositionIds):
    """In training all positions are shifted by k, uniform over 0 .. `largest`; in evaluation they are not.

    Kiyono et al. 2021, arXiv:2109.05644, section 3 (a shift for each sequence there, here one for each step). It changes
    absolute schemes only. `largest="auto"` is the original length. Class T. Raises PosextError for a negative shift.
    """

    def __init__(self, shape: Network, *, largest: int | Literal["auto"] = "auto"):
        super().__init__(shape)
        self.largest = shape.original_length if largest == "auto" else largest
        if self.largest < 0:
            raise PosextError(f"position_ids.largest must be at least 0, not {largest}")

    def positions(self, length: int, draw: tuple[int, int] | None) -> Tensor:
        shift = 0 if draw is None else int(generator(draw).integers(0, self.largest + 1))
        return torch.arange(shift, shift + length)
