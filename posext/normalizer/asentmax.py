"""Adaptive-scalable entmax.

Shape suffixes: B batch, T positions, C model width, H heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.normalizer.entmax import Entmax
from posext.pe.base import PositionalEncoding, Shape
from posext.pe.initial_values import draw_weights
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError
from posext.utils.ranges import NonNegative, Positive


class ASEntmax(Entmax):
    """Entmax of scores that grow with the number of keys, as far as each query asks for.

    The factor on q k / sqrt(head_dim), not on a bias, is delta + beta (ln n)^gamma for the query
    with n keys, with beta = softplus(w_beta . x) and gamma = s tanh(w_gamma . x) for every head,
    where x is the input of attention (Vasylenko et al. 2025, section 4). w starts small, from
    Normal(0, 0.02). As in the authors' code n counts one key more, so that no logarithm is 0.

    Args:
        shape: Dimensions of the network.
        delta: The part of the factor that all queries share.
        gamma_range: s, the largest power.
    """

    paper = "arXiv:2506.16640"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, delta: NonNegative = 1.0, gamma_range: Positive = 2.0):
        super().__init__(shape)
        self.delta = delta
        self.gamma_range = gamma_range

    def check(self, scheme: PositionalEncoding) -> None:
        super().check(scheme)
        if "attention_scale" in scheme.modifiers:
            raise PosextError(
                "ASEntmax has a temperature of its own, so no attention_scale goes with it"
            )

    def make_layer_module(self) -> nn.Module:
        return AdaptiveScale(self.shape, self.delta, self.gamma_range)


class AdaptiveScale(nn.Module):
    """The factor of one layer, (B, H, T)."""

    def __init__(self, shape: Shape, delta: float, gamma_range: float):
        super().__init__()
        self.beta = nn.Linear(shape.d_model, shape.n_heads, bias=False)
        self.gamma = nn.Linear(shape.d_model, shape.n_heads, bias=False)
        draw_weights(self)
        self.delta = delta
        self.gamma_range = gamma_range

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        weight = self.beta.weight
        keys_T = torch.arange(
            2, len(tables.positions_T) + 2, device=weight.device, dtype=weight.dtype
        )
        beta_BTH = F.softplus(self.beta(x_BTC).to(weight.dtype))
        gamma_BTH = self.gamma_range * self.gamma(x_BTC).to(weight.dtype).tanh()
        scale_BTH = self.delta + beta_BTH * keys_T.log()[:, None] ** gamma_BTH
        return tables._replace(logit_scale=scale_BTH.transpose(1, 2))
