"""KERPLE with a logarithmic kernel."""

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances

LEAST = 1e-2  # both parameters are kept above it


class KERPLELog(PositionalEncoding):
    """-r1 ln(1 + r2 distance) with r1, r2 > 0 learned for every head, shared by the layers.

    Chi et al. 2022, arXiv:2205.09921, equation 8 and section 5 (the logarithmic variant). Class T.
    """

    family = "bias"

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.height_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 2))
        self.rate_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 1))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        distances_L = distances(positions_K).float()
        rate_H, height_H = self.rate_H.clamp(min=LEAST), self.height_H.clamp(min=LEAST)
        return DistanceBias(-height_H[:, None] * torch.log1p(rate_H[:, None] * distances_L))
