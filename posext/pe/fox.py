"""FoX: forgetting attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, KeyBias, PositionalEncoding


class FoX(PositionalEncoding):
    """Lowers the logit of a key by forget gates of the tokens in between, a decay by content.

    The logit of query n and key m gets the sum of ln f_l over l = m + 1 .. n, with
    f_l = sigmoid(w x_l + b) for every head (Lin et al. 2025, equations 4-6); no other encoding. The
    running sum up to n is constant along a row, so the scheme returns minus the running sum up to
    m, a bias by key alone.
    """

    paper = "arXiv:2503.02130"
    stages = frozenset({"trained"})
    family = "content"
    gate_bias = 0.0  # b at the start, as in the authors' code: a token halves what is before it

    def make_layer_module(self) -> nn.Module:
        return ForgetGate(self.shape.d_model, self.shape.n_heads, self.gate_bias)


class OpenFoX(FoX):
    """Starts the forget gates of FoX open: sigmoid(4) = 0.98, a half-life of 38 tokens.

    FoX starts with a half-life of one token, and short training may not open its gates:
    results/recall. The start is ours, not the authors'.
    """

    paper = "arXiv:2503.02130"
    stages = frozenset({"trained"})
    gate_bias = 4.0


class ForgetGate(nn.Module):
    """Forget gates of one layer: a linear map of each token to one gate per head."""

    def __init__(self, d_model: int, n_heads: int, bias: float = 0.0):
        super().__init__()
        self.weight_HC = nn.Parameter(torch.empty(n_heads, d_model).normal_(std=0.02))
        self.bias_H = nn.Parameter(torch.full((n_heads,), bias))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        with torch.autocast(x_BTC.device.type, enabled=False):
            logits_BTH = F.linear(x_BTC.to(self.bias_H.dtype), self.weight_HC, self.bias_H)
            log_forget_BTH = F.logsigmoid(logits_BTH)
            bias_BHK = -log_forget_BTH.double().cumsum(dim=1).transpose(1, 2)
            return tables._replace(bias=KeyBias(bias_BHK))
