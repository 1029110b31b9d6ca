"""KERPLE with a power kernel."""

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.pe.kerple_log import LEAST


class KERPLEPower(PositionalEncoding):
    """-a distance^p with a > 0 and 0 < p <= 2 learned for every head, shared by the layers; ALiBi has p = 1.

    Chi et al. 2022, arXiv:2205.09921, equation 7 (the power variant). Class T.
    """

    family = "bias"

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.height_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 1))
        self.power_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 2))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        distances_L = distances(positions_K).float()
        power_H, height_H = self.power_H.clamp(LEAST, 2), self.height_H.clamp(min=LEAST)
        return DistanceBias(-height_H[:, None] * distances_L ** power_H[:, None])
