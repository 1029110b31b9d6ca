"""FIRE: a learned function of the distance, relative to how far the query stands."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PairBias, PositionalEncoding, Shape
from posext.utils.errors import PosextError

EPSILON = 1e-6


class FIRE(PositionalEncoding):
    """MLP(psi(n - j) / psi(max(threshold, n))) with psi(x) = ln(c x + 1); c, the threshold and the MLP are learned.

    Li et al. 2023, arXiv:2310.04418, equations 2-4; every layer has its own (`fire_s` shares one). `threshold="auto"` starts
    at a quarter of the original length, as 512 of 2,048 there. Not relative: it hangs on the query's own position. Class T.
    Raises PosextError for a width or threshold below 1, or a c that is no number.
    """

    family = "bias"
    relative = False

    def __init__(
        self,
        shape: Shape,
        *,
        width: int = 32,
        c: float = 0.1,
        threshold: float | Literal["auto"] = "auto",
    ):
        super().__init__(shape)
        self.width = width
        self.c = c
        self.threshold = shape.original_length / 4 if threshold == "auto" else threshold
        if width < 1 or not self.threshold >= 1:
            raise PosextError(
                f"width and threshold must be at least 1, not {width} and {self.threshold}"
            )
        if not math.isfinite(c):
            raise PosextError(f"c must be a finite number, not {c}")

    def make_layer_module(self) -> nn.Module | None:
        return Interpolation(self.shape.n_heads, self.width, self.c, self.threshold)


class Interpolation(nn.Module):
    """The learned function, for all heads."""

    def __init__(self, heads: int, width: int, c: float, threshold: float):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, heads))
        self.c = nn.Parameter(torch.tensor([float(c)]))  # FSDP shares out no scalars
        self.stretch = nn.Parameter(torch.ones(1))  # of the threshold
        self.threshold = threshold

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(bias=PairBias(self.rows))

    def rows(self, positions_Q: Tensor, positions_K: Tensor) -> Tensor:
        """The bias of some queries and keys: float32 (H, Q, K)."""
        distances_QK = (positions_Q[:, None] - positions_K).clamp(min=0).to(self.c.dtype)
        reach_Q = torch.maximum(positions_Q.to(self.c.dtype), (self.stretch * self.threshold).abs())
        near_QK = torch.log1p((self.c * distances_QK).abs())
        share_QK = near_QK / (torch.log1p((self.c * reach_Q).abs()) + EPSILON)[:, None]
        return self.mlp(share_QK[..., None]).permute(2, 0, 1)
