"""FoX: a forgetting gate in attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, KeyBias, PositionalEncoding


class FoX(PositionalEncoding):
    """The sum of ln f_l over l = m + 1 .. n on the logit of query n and key m, with f_l = sigmoid(w x_l + b) for every head.

    Lin et al. 2025, arXiv:2503.02130, equations 4-6: a decay by content, without any other encoding. As the running sum up
    to n is constant along a row, minus the one up to m is returned, a bias of the key alone. Class T.
    """

    family = "content"

    def make_layer_module(self) -> nn.Module:
        return ForgetGate(self.shape.d_model, self.shape.n_heads)


class ForgetGate(nn.Module):
    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.weight_HC = nn.Parameter(torch.empty(n_heads, d_model).normal_(std=0.02))
        self.bias_H = nn.Parameter(torch.zeros(n_heads))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        with torch.autocast(x_BTC.device.type, enabled=False):
            log_forget_BTH = F.logsigmoid(
                F.linear(x_BTC.to(self.bias_H.dtype), self.weight_HC, self.bias_H)
            )
            return tables._replace(
                bias=KeyBias(-log_forget_BTH.double().cumsum(dim=1).transpose(1, 2))
            )
