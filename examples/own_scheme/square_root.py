"""Example of a scheme outside the package: a penalty by the square root of the distance."""

import torch
from torch import Tensor

from posext.pe.alibi import slopes
from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.utils.ranges import Positive


class SquareRoot(PositionalEncoding):
    """Lowers the logit of a key in proportion to the square root of its distance.

    The logit of query n and key j gets -strength m_h sqrt(n - j), with ALiBi's slopes m_h.

    Args:
        shape: Dimensions of the network.
        strength: Factor on the slopes.
    """

    paper = "unpublished"
    stages = frozenset({"trained"})
    family = "bias"

    def __init__(self, shape: Shape, *, strength: Positive = 4.0):
        super().__init__(shape)
        self.strength = strength

    def bias(self, positions_K: Tensor) -> DistanceBias:
        slopes_H = torch.tensor(slopes(self.shape.n_heads), device=positions_K.device)
        return DistanceBias(-self.strength * slopes_H[:, None] * distances(positions_K).sqrt())
