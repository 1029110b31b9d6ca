"""PoPE: polar coordinates."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Shape
from posext.utils.ranges import Base


class PoPE(PositionalEncoding):
    """Takes magnitudes from content and phases from positions, so that neither moves the other.

    The logit of query n and key m is the sum of softplus(q_c) softplus(k_c)
    cos((m - n) theta_c + delta_c) over all dimensions c of a head, divided by sqrt(head_dim), with
    theta_c = base^(-c/head_dim) for c = 0, 1, .. (Gopalakrishnan et al. 2025). delta is
    learned from 0, for every head of every layer. Here it is free; the authors clamp it to
    [-2 pi, 0], all values that there are, but from 0 training can then go to one side alone.

    Args:
        shape: Dimensions of the network.
        base: Base of the frequencies.
    """

    paper = "arXiv:2509.10534"
    stages = frozenset({"trained"})
    family = "polar"

    def __init__(self, shape: Shape, *, base: Base = 10000.0):
        super().__init__(shape)
        self.base = base

    def make_layer_module(self) -> nn.Module:
        return PolarPhases(self.base, self.shape.n_heads, self.shape.head_dim)


class PolarPhases(nn.Module):
    """Phases of queries and keys in one layer, with the learned shift delta of the keys."""

    def __init__(self, base: float, n_heads: int, head_dim: int):
        super().__init__()
        self.base = base
        self.shift_HD = nn.Parameter(torch.zeros(n_heads, head_dim))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        head_dim = self.shift_HD.shape[-1]
        c_D = torch.arange(head_dim, dtype=torch.float64, device=x_BTC.device)
        query_TD = tables.positions_T.double()[:, None] * self.base ** (-c_D / head_dim)
        key_HTD = query_TD + self.shift_HD[:, None].double()

        # The scores are divided by the root of the doubled width: sqrt(2) makes up for it.
        def query_map(q_BHTD: Tensor) -> Tensor:
            return math.sqrt(2) * polar(q_BHTD, query_TD)

        def key_map(k_BHTD: Tensor) -> Tensor:
            return polar(k_BHTD, key_HTD)

        return tables._replace(query_map=query_map, key_map=key_map)


def polar(x_BHTD: Tensor, phases: Tensor) -> Tensor:
    """Return softplus(x) at phases (T, D) or (H, T, D): its real parts, then its imaginary ones.

    Computed in at least float32, in the dtype of x; the shape is (B, H, T, 2 D).
    """
    with torch.autocast(x_BHTD.device.type, enabled=False):
        magnitude_BHTD = F.softplus(x_BHTD.to(torch.promote_types(x_BHTD.dtype, torch.float32)))
        cos = phases.cos().to(magnitude_BHTD.dtype)
        sin = phases.sin().to(magnitude_BHTD.dtype)
        return torch.cat((magnitude_BHTD * cos, magnitude_BHTD * sin), dim=-1).to(x_BHTD.dtype)
