"""CABLE: context-aware biases."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, KeyBias, PositionalEncoding


class CABLE(PositionalEncoding):
    """Lowers the logit of a key by a penalty that the tokens in between add up.

    The logit of query n and key m gets -sum of softplus(w x_l) over l = m + 1 .. n, for every head,
    which is never positive (Veisi et al. 2025, section 3). It is FoX with the sign of the gate
    reversed and without its bias, as -softplus(u) = ln sigmoid(-u).
    """

    paper = "arXiv:2503.08067"
    stages = frozenset({"trained"})
    family = "content"

    def make_layer_module(self) -> nn.Module:
        return Weights(self.shape.d_model, self.shape.n_heads)


class Weights(nn.Module):
    """Penalties of one layer: a linear map of each token to one penalty per head."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.weight_HC = nn.Parameter(torch.empty(n_heads, d_model).normal_(std=0.02))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        with torch.autocast(x_BTC.device.type, enabled=False):
            penalty_BTH = F.softplus(F.linear(x_BTC.to(self.weight_HC.dtype), self.weight_HC))
            bias_BHK = penalty_BTH.double().cumsum(dim=1).transpose(1, 2)
            return tables._replace(bias=KeyBias(bias_BHK))
