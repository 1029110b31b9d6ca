"""KERPLE with a power kernel."""

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.pe.kerple_log import MIN_PARAMETER, clamp_stored


class KERPLEPower(PositionalEncoding):
    """Lowers the logit of a key with a power of its distance, at learned rates.

    The bias is -a distance^p with a > 0 and 0 < p <= 2 learned for every head and shared by the
    layers (Chi et al. 2022, equation 7, the power variant); p = 1 is ALiBi. The stored parameters
    are clamped as in `kerple_log`.
    """

    paper = "arXiv:2205.09921"
    stages = frozenset({"trained"})
    family = "bias"

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.height_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 1))
        self.power_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 2))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        clamp_stored(self.height_H, MIN_PARAMETER)
        clamp_stored(self.power_H, MIN_PARAMETER, 2)
        distances_L = distances(positions_K).to(self.power_H.dtype)
        return DistanceBias(-self.height_H[:, None] * distances_L ** self.power_H[:, None])
