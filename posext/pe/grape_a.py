"""GRAPE-A: ALiBi with slopes from queries and keys."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.alibi import slopes
from posext.pe.base import AttentionTables, PositionalEncoding


class GRAPEA(PositionalEncoding):
    """Lowers the logit of a key in proportion to its distance, at a slope that both contents set.

    The logit of query n and key m gets -(n - m) m_h omega_h (softplus(v q_n / sqrt(head_dim)) +
    softplus(u k_m / sqrt(head_dim))) for every head h, with ALiBi's m_h (Zhang et al. 2025,
    query- and key-gated). As in the authors' code, u and v are learned directions of length 1, and
    omega_h > 0 is learned from 1. Their models have a norm of queries and keys (qk_norm). A
    temperature scales the queries in the slope too.
    """

    paper = "arXiv:2512.07805"
    stages = frozenset({"trained"})
    own_scores = True
    family = "content"

    def make_layer_module(self) -> nn.Module:
        return Slopes(self.shape.n_heads, self.shape.head_dim)


class Slopes(nn.Module):
    """u, v and omega of one layer, omega as the softplus of what is stored."""

    def __init__(self, n_heads: int, head_dim: int):
        super().__init__()
        self.query_HD = nn.Parameter(torch.randn(n_heads, head_dim) * head_dim**-0.5)
        self.key_HD = nn.Parameter(torch.randn(n_heads, head_dim) * head_dim**-0.5)
        self.omega_H = nn.Parameter(torch.full((n_heads,), math.log(math.e - 1)))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        positions_T = tables.positions_T

        def score_rows(q_BHTD: Tensor, k_BHTD: Tensor) -> Callable[[int, int], Tensor]:
            query_slope_BHT = self.slope(q_BHTD, self.query_HD)
            key_slope_BHT = self.slope(k_BHTD, self.key_HD)

            def rows(start: int, stop: int) -> Tensor:
                products_BHQK = q_BHTD[:, :, start:stop] @ k_BHTD[:, :, :stop].mT
                slope_BHQK = (
                    query_slope_BHT[..., start:stop, None] + key_slope_BHT[..., None, :stop]
                )
                distance_QK = (positions_T[start:stop, None] - positions_T[:stop]).clamp(min=0)
                return products_BHQK * q_BHTD.shape[-1] ** -0.5 - distance_QK * slope_BHQK

            return rows

        return tables._replace(score_rows=score_rows)

    def slope(self, x_BHTD: Tensor, direction_HD: Tensor) -> Tensor:
        """Return the part of the slope that queries or keys set: (B, H, T)."""
        alibi_H = torch.tensor(slopes(len(self.omega_H)), dtype=x_BHTD.dtype, device=x_BHTD.device)
        along_BHT = (x_BHTD @ F.normalize(direction_HD, dim=-1).to(x_BHTD.dtype)[..., None])[..., 0]
        gate_BHT = F.softplus(along_BHT * x_BHTD.shape[-1] ** -0.5)
        return gate_BHT * (alibi_H * F.softplus(self.omega_H))[:, None]
