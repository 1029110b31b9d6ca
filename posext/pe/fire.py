"""FIRE: functional interpolation for relative position encoding."""

import torch
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PairBias, PositionalEncoding, Shape
from posext.utils.ranges import AtLeastOne, Auto, Count, Finite

EPSILON = 1e-6


class FIRE(PositionalEncoding):
    """Learns a bias as a function of the distance relative to the position of the query.

    The bias of query n and key j is MLP(psi(n - j) / psi(max(threshold, n))) with
    psi(x) = ln(c x + 1); c, the threshold and the MLP are learned (Li et al. 2023, equations 2-4).
    Every layer has its own function (`fire_s` shares one). The scheme is not relative, as the bias
    depends on the query's position.

    Args:
        shape: Dimensions of the network.
        width: Hidden width of the MLP.
        c: Initial value of c.
        threshold: Initial threshold in tokens; "auto": a quarter of the original length, as 512 of
            2,048 in the paper.
    """

    paper = "arXiv:2310.04418"
    stages = frozenset({"trained"})
    family = "bias"
    relative = False

    def __init__(
        self,
        shape: Shape,
        *,
        width: Count = 32,
        c: Finite = 0.1,
        threshold: AtLeastOne | Auto = "auto",
    ):
        super().__init__(shape)
        self.width = width
        self.c = c
        self.threshold = shape.original_length / 4 if threshold == "auto" else threshold

    def make_layer_module(self) -> nn.Module | None:
        return Interpolation(self.shape.n_heads, self.width, self.c, self.threshold)


class Interpolation(nn.Module):
    """The learned function, for all heads."""

    def __init__(self, heads: int, width: int, c: float, threshold: float):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, heads))
        # Shape (1,), as FSDP cannot shard scalars.
        self.c = nn.Parameter(torch.tensor([float(c)]))
        # Learned factor on the initial threshold.
        self.stretch = nn.Parameter(torch.ones(1))
        self.threshold = threshold

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(bias=PairBias(self.rows))

    def rows(self, positions_Q: Tensor, positions_K: Tensor) -> Tensor:
        """Return the bias of these queries and keys: float32 (H, Q, K)."""
        distances_QK = (positions_Q[:, None] - positions_K).clamp(min=0).to(self.c.dtype)
        threshold = (self.stretch * self.threshold).abs()
        normalizer_Q = torch.maximum(positions_Q.to(self.c.dtype), threshold)
        log_distance_QK = torch.log1p((self.c * distances_QK).abs())
        log_normalizer_Q = torch.log1p((self.c * normalizer_Q).abs()) + EPSILON
        ratio_QK = log_distance_QK / log_normalizer_Q[:, None]
        return self.mlp(ratio_QK[..., None]).permute(2, 0, 1)
