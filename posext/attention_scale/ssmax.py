"""Scalable-softmax."""

import math

import torch
from torch import Tensor, nn

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.pe.tables import AttentionTables
from posext.utils.ranges import Auto, Positive


class SSMax(AttentionScale):
    """Sharpens attention with the logarithm of the number of keys, at a learned rate.

    The factor is s ln(n + 1) for query n with n + 1 keys, with s learned for every head and layer
    (Nakanishi 2025, equation 3).

    Args:
        shape: Dimensions of the network.
        start: Initial s; "auto": the factor is 1 at the original length.
    """

    paper = "arXiv:2501.19399"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, start: Positive | Auto = "auto"):
        super().__init__(shape)
        self.start = 1 / math.log(shape.original_length) if start == "auto" else start

    def make_layer_module(self) -> nn.Module:
        return LogGrowth(self.shape.n_heads, self.start)


class LogGrowth(nn.Module):
    """Rates s of one layer."""

    def __init__(self, heads: int, start: float):
        super().__init__()
        self.s_H = nn.Parameter(torch.full((heads,), start))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        length = len(tables.positions_T)
        keys_T = torch.arange(1, length + 1, device=self.s_H.device, dtype=self.s_H.dtype)
        return tables._replace(logit_scale=self.s_H[:, None] * keys_T.log())
