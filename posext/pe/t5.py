"""T5's bucketed distances."""

import math

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.utils.errors import PosextError


class T5(PositionalEncoding):
    """A learned bias for every head and bucket of distances: half the buckets exact, the rest logarithmic, one for the far.

    Raffel et al. 2020, arXiv:1910.10683, section 2.1; one table for all layers. Here, unlike in T5, logits are still scaled
    by 1/sqrt(head_dim). Class T. Raises PosextError for fewer than two buckets or a max_distance within the exact half.
    """

    family = "bias"

    def __init__(self, shape: Shape, *, buckets: int = 32, max_distance: int = 128):
        super().__init__(shape)
        if buckets < 2 or max_distance <= buckets // 2:
            raise PosextError(
                f"buckets={buckets} and max_distance={max_distance}: at least 2, and more than half of them"
            )
        self.buckets, self.max_distance = buckets, max_distance
        self.table_HB = nn.Parameter(torch.empty(shape.n_heads, buckets).normal_(std=0.02))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        return DistanceBias(self.table_HB[:, self.bucket(distances(positions_K))])

    def bucket(self, distances_L: Tensor) -> Tensor:
        """The bucket of every distance (tokens back): int64."""
        exact = self.buckets // 2
        octaves = (distances_L.clamp(min=1).double() / exact).log() / math.log(
            self.max_distance / exact
        )
        far = (exact + (octaves * (self.buckets - exact)).long()).clamp(max=self.buckets - 1)
        return torch.where(distances_L < exact, distances_L, far)
