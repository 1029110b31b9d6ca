"""DAPE: a bias that adapts to the logits it is added to."""

import math

import torch
from torch import Tensor, nn

from posext.pe import build
from posext.pe.base import AttentionTables, PositionalEncoding, Shape
from posext.utils.errors import PosextError


class DAPE(PositionalEncoding):
    """logits + bias + MLP(logits, bias), the MLP mapping the logits and biases of all heads at a pair to one term a head.

    Zheng et al. 2024, arXiv:2405.14722, equations 3-4. `based_on` names the scheme whose bias it is: alibi, kerple_log, fire or
    another additive one. Every layer has a bias of its own, as in the authors' code, and an MLP, of 2H to `width` to H, with
    LeakyReLU. Class T. Raises PosextError for a width below 1, and where `based_on` has no additive bias.
    """

    family = "content"

    def __init__(self, shape: Shape, *, based_on: str = "kerple_log", width: int = 32):
        super().__init__(shape)
        if width < 1:
            raise PosextError(f"width must be at least 1, not {width}")
        self.width = width
        self.based_on = based_on
        static = self.static()
        if static.family != "bias":
            raise PosextError(
                f"dape adapts an additive bias, and {based_on} has none: based_on=alibi, kerple_log, fire, t5"
            )
        self.relative = static.relative

    def static(self) -> PositionalEncoding:
        """A new scheme whose bias adapts."""
        shape = self.shape
        return build(
            self.based_on,
            head_dim=shape.head_dim,
            n_heads=shape.n_heads,
            d_model=shape.d_model,
            train_length=shape.original_length,
        )

    def make_layer_module(self) -> nn.Module:
        return Adaptation(self.static(), self.shape.n_heads, self.width)


class Adaptation(nn.Module):
    def __init__(self, static: PositionalEncoding, heads: int, width: int):
        super().__init__()
        self.static = static
        self.own = static.make_layer_module()
        self.mlp = nn.Sequential(
            nn.Linear(2 * heads, width), nn.LeakyReLU(), nn.Linear(width, heads)
        )

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        tables = tables._replace(bias=self.static.bias(tables.positions_T), weights=self.weights)
        return tables if self.own is None else self.own(x_BTC, tables)

    def weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, hidden_QK: Tensor
    ) -> Tensor:
        assert bias_HQK is not None
        with torch.autocast(q_BHQD.device.type, enabled=False):
            both_BHQK = torch.cat((scores_BHQK, bias_HQK.expand_as(scores_BHQK)), dim=1)
            both_BHQK = both_BHQK.masked_fill(hidden_QK, 0)
            adapted_BHQK = self.mlp(both_BHQK.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            scores_BHQK = scores_BHQK + bias_HQK + adapted_BHQK
        return scores_BHQK.masked_fill(hidden_QK, -math.inf).softmax(dim=-1)
