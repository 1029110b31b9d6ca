"""KERPLE with a logarithmic kernel."""

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances

LEAST = 1e-2  # both parameters are kept above it


class KERPLELog(PositionalEncoding):
    """-r1 ln(1 + r2 distance) with r1, r2 > 0 learned for every head, shared by the layers.

    Chi et al. 2022, arXiv:2205.09921, equation 8 and section 5 (the logarithmic variant). As in the authors' code the stored
    parameters are clamped, before the graph, so that one at its bound keeps its gradient and can leave it. Class T.
    """

    family = "bias"

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.height_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 2))
        self.rate_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 1))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        clamp_stored(self.height_H, LEAST)
        clamp_stored(self.rate_H, LEAST)
        distances_L = distances(positions_K).to(self.rate_H.dtype)
        return DistanceBias(
            -self.height_H[:, None] * torch.log1p(self.rate_H[:, None] * distances_L)
        )


@torch.no_grad()
def clamp_stored(parameter: nn.Parameter, low: float, high: float | None = None) -> None:
    """Clamp the stored values of a parameter in place."""
    parameter.clamp_(low, high)
