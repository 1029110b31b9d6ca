"""CABLE: context-aware biases."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, KeyBias, PositionalEncoding


class CABLE(PositionalEncoding):
    """-sum of softplus(w x_l) over l = m + 1 .. n on the logit of query n and key m, for every head: never a reward.

    Veisi et al. 2025, arXiv:2503.08067, section 3. It is FoX with the gate's sign turned and without its bias, as
    -softplus(u) = ln sigmoid(-u). Class T.
    """

    family = "content"

    def make_layer_module(self) -> nn.Module:
        return Weights(self.shape.d_model, self.shape.n_heads)


class Weights(nn.Module):
    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.weight_HC = nn.Parameter(torch.empty(n_heads, d_model).normal_(std=0.02))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        with torch.autocast(x_BTC.device.type, enabled=False):
            steps_BTH = F.softplus(F.linear(x_BTC.to(self.weight_HC.dtype), self.weight_HC))
            return tables._replace(bias=KeyBias(steps_BTH.double().cumsum(dim=1).transpose(1, 2)))
