"""KERPLE with a logarithmic kernel."""

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances

# Lower bound of the learned parameters.
MIN_PARAMETER = 1e-2


class KERPLELog(PositionalEncoding):
    """Lowers the logit of a key with the logarithm of its distance, at learned rates.

    The bias is -r1 ln(1 + r2 distance) with r1, r2 > 0 learned for every head and shared by the
    layers (Chi et al. 2022, equation 8 and section 5, the logarithmic variant). As in the authors'
    code, the stored parameters are clamped outside of the graph, so that a parameter at its bound
    keeps its gradient and can leave the bound.
    """

    paper = "arXiv:2205.09921"
    stages = frozenset({"trained"})
    family = "bias"

    def __init__(self, shape: Shape):
        super().__init__(shape)
        self.height_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 2))
        self.rate_H = nn.Parameter(torch.empty(shape.n_heads).uniform_(0, 1))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        return self.kernel(distances(positions_K).to(self.rate_H.dtype))

    def kernel(self, distances_L: Tensor) -> DistanceBias:
        """Return the bias at distances that need not be whole."""
        clamp_stored(self.height_H, MIN_PARAMETER)
        clamp_stored(self.rate_H, MIN_PARAMETER)
        log_HL = torch.log1p(self.rate_H[:, None] * distances_L)
        return DistanceBias(-self.height_H[:, None] * log_HL)


@torch.no_grad()
def clamp_stored(parameter: nn.Parameter, low: float, high: float | None = None) -> None:
    """Clamp the stored values of a parameter in place."""
    parameter.clamp_(low, high)
