"""DAPE: data-adaptive positional encoding."""

import math

import torch
from torch import Tensor, nn

from posext.pe import from_config, settings_of
from posext.pe.base import AttentionTables, PositionalEncoding, Shape
from posext.utils.errors import PosextError
from posext.utils.ranges import Count


class DAPE(PositionalEncoding):
    """Adapts another scheme's additive bias to the attention logits by an MLP across heads.

    The logits become logits + bias + MLP(logits, bias) (Zheng et al. 2024, equations 3-4). For each
    query and key, the MLP maps the logits and biases of all heads to one term per head. Every layer
    has its own bias, as in the authors' code, and its own MLP, 2H to `width` to H with LeakyReLU.

    Args:
        shape: Dimensions of the network.
        based_on: Name of the scheme of the bias: alibi, kerple_log, fire or another additive one.
        width: Hidden width of the MLP.

    Raises:
        PosextError: `based_on` has no additive bias.
    """

    paper = "arXiv:2405.14722"
    stages = frozenset({"trained"})
    own_weights = True
    family = "content"

    def __init__(self, shape: Shape, *, based_on: str = "kerple_log", width: Count = 32):
        super().__init__(shape)
        self.width = width
        self.based_on = based_on
        base_scheme = self.build_base_scheme()
        if base_scheme.family != "bias":
            raise PosextError(
                f"dape adapts an additive bias, and {based_on} has none: "
                "based_on=alibi, kerple_log, fire, t5"
            )
        self.relative = base_scheme.relative

    def build_base_scheme(self) -> PositionalEncoding:
        """Build a new scheme `based_on`, with parameters of its own."""
        return from_config(settings_of("pe", self.based_on), self.shape)

    def make_layer_module(self) -> nn.Module:
        return Adaptation(self.build_base_scheme(), self.shape.n_heads, self.width)


class Adaptation(nn.Module):
    """Bias and MLP of one layer. `static` and `own` are keys of saved weights."""

    def __init__(self, base_scheme: PositionalEncoding, heads: int, width: int):
        super().__init__()
        self.static = base_scheme
        self.own = base_scheme.make_layer_module()
        self.mlp = nn.Sequential(
            nn.Linear(2 * heads, width), nn.LeakyReLU(), nn.Linear(width, heads)
        )

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        bias = self.static.bias(tables.positions_T)
        tables = tables._replace(bias=bias, attention_fn=self.attention_weights)
        return tables if self.own is None else self.own(x_BTC, tables)

    def attention_weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, masked_QK: Tensor
    ) -> Tensor:
        assert bias_HQK is not None
        with torch.autocast(q_BHQD.device.type, enabled=False):
            both_BHQK = torch.cat((scores_BHQK, bias_HQK.expand_as(scores_BHQK)), dim=1)
            both_BHQK = both_BHQK.masked_fill(masked_QK, 0)
            adapted_BHQK = self.mlp(both_BHQK.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            scores_BHQK = scores_BHQK + bias_HQK + adapted_BHQK
        return scores_BHQK.masked_fill(masked_QK, -math.inf).softmax(dim=-1)
