"""A scheme of one's own, outside the package: a penalty that grows with the square root of the distance."""

import torch
from torch import Tensor

from posext.pe.alibi import slopes
from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances


class SquareRoot(PositionalEncoding):
    """-strength m_h sqrt(n - j) on the logit of query n and key j, with ALiBi's slopes m_h. Class T.

    Raises ValueError for a strength that is not above 0.
    """

    family = "bias"

    def __init__(self, shape: Shape, *, strength: float = 4.0):
        super().__init__(shape)
        if not strength > 0:
            raise ValueError(f"strength must be above 0, not {strength}")
        self.strength = strength

    def bias(self, positions_K: Tensor) -> DistanceBias:
        slopes_H = torch.tensor(slopes(self.shape.n_heads), device=positions_K.device)
        return DistanceBias(-self.strength * slopes_H[:, None] * distances(positions_K).sqrt())
