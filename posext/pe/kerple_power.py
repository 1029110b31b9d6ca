"""KERPLE with a power kernel."""

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.pe.kerple_log import LEAST, clamp_stored


class KERPLEPower(PositionalEncoding):
    """-a distance^p with a > 0 and 0 < p <= 2 learned for every head, shared by the layers; ALiBi has p = 1.

    Chi et al. 2022, arXiv:2205.09921, equation 7 (the power variant). Stored parameters are clamped as in `kerple_log`.
    Class T.
    """

    family = "bias"

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.height_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 1))
        self.power_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 2))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        clamp_stored(self.height_H, LEAST)
        clamp_stored(self.power_H, LEAST, 2)
        distances_L = distances(positions_K).to(self.power_H.dtype)
        return DistanceBias(-self.height_H[:, None] * distances_L ** self.power_H[:, None])
