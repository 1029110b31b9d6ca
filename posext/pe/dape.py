"""DAPE: a bias that adapts to the logits it is added to."""

import math

import torch
from torch import Tensor, nn

from posext.pe import build
from posext.pe.base import PositionalEncoding, Shape, Tables
from posext.pe.tables import DistanceBias, KeyBias, PairBias


class DAPE(PositionalEncoding):
    """logits + bias + MLP(logits, bias), the MLP mapping the logits and biases of all heads at a pair to one term a head.

    Zheng et al. 2024, arXiv:2405.14722, equations 3-4. `based_on` names the scheme whose bias it is: alibi, kerple_log, fire or
    another additive one. One MLP a layer, of 2H to `width` to H, with LeakyReLU. Class T.
    Raises ValueError for a width below 1, and where `based_on` has no bias of its own.
    """

    family = "content"

    def __init__(self, shape: Shape, *, based_on: str = "kerple_log", width: int = 32):
        super().__init__(shape)
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.static = build(
            based_on,
            head_dim=shape.head_dim,
            n_heads=shape.n_heads,
            d_model=shape.d_model,
            train_length=shape.original_length,
        )
        if self.static.bias(torch.arange(2)) is None or self.static.per_layer() is not None:
            raise ValueError(
                f"dape adapts an additive bias, and {based_on} has none: based_on=alibi, kerple_log, fire, t5"
            )
        self.relative = self.static.relative  # type: ignore[misc]
        self.width = width

    def bias(self, positions_K: Tensor) -> KeyBias | DistanceBias | PairBias | None:
        return self.static.bias(positions_K)

    def per_layer(self) -> nn.Module:
        return Adaptation(self.shape.n_heads, self.width)


class Adaptation(nn.Module):
    def __init__(self, heads: int, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * heads, width), nn.LeakyReLU(), nn.Linear(width, heads))

    def forward(self, x_BTC: Tensor, tables: Tables) -> Tables:
        return tables._replace(weights=self.weights)

    def weights(self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, hidden_QK: Tensor) -> Tensor:
        assert bias_HQK is not None
        with torch.autocast(q_BHQD.device.type, enabled=False):
            both_BHQK = torch.cat((scores_BHQK, bias_HQK.expand_as(scores_BHQK)), dim=1)
            both_BHQK = both_BHQK.masked_fill(hidden_QK, 0)
            adapted_BHQK = self.mlp(both_BHQK.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            scores_BHQK = scores_BHQK + bias_HQK + adapted_BHQK
        return scores_BHQK.masked_fill(hidden_QK, -math.inf).softmax(dim=-1)
