"""T5's relative position bias."""

import math

import torch
from torch import Tensor, nn

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastTwo, Count


class T5(PositionalEncoding):
    """Learns a bias for every head and bucket of distances, with wider buckets for far keys.

    Half of the buckets are single distances, the others are logarithmic, and the last one holds all
    farther distances (Raffel et al. 2020, section 2.1). All layers share one table. Unlike in T5,
    logits are still scaled by 1/sqrt(head_dim).

    Args:
        shape: Dimensions of the network.
        buckets: Number of buckets.
        max_distance: All distances from this one on, in tokens, share the last bucket.

    Raises:
        PosextError: max_distance is within the exact half of the buckets.
    """

    paper = "arXiv:1910.10683"
    stages = frozenset({"trained"})
    family = "bias"

    def __init__(self, shape: Shape, *, buckets: AtLeastTwo = 32, max_distance: Count = 128):
        super().__init__(shape)
        if max_distance <= buckets // 2:
            raise PosextError(
                f"max_distance must exceed half of buckets={buckets}, not be {max_distance}"
            )
        self.buckets = buckets
        self.max_distance = max_distance
        self.table_HB = nn.Parameter(torch.empty(shape.n_heads, buckets).normal_(std=0.02))

    def bias(self, positions_K: Tensor) -> DistanceBias:
        return DistanceBias(self.table_HB[:, self.bucket(distances(positions_K))])

    def bucket(self, distances_L: Tensor) -> Tensor:
        """Return the bucket of every distance in tokens: int64 (L,)."""
        exact = self.buckets // 2
        log_ratio_L = (distances_L.clamp(min=1).double() / exact).log()
        log_share_L = log_ratio_L / math.log(self.max_distance / exact)
        log_bucket_L = exact + (log_share_L * (self.buckets - exact)).long()
        log_bucket_L = log_bucket_L.clamp(max=self.buckets - 1)
        return torch.where(distances_L < exact, distances_L, log_bucket_L)
