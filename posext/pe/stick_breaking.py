"""Stick-breaking attention."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Shape


class StickBreaking(PositionalEncoding):
    """Lets each key, from the nearest on, take a share of the attention that is left.

    For keys m before the query n, A_nm = sigmoid(z_nm) times the product of 1 - sigmoid(z_nl) over
    l = m + 1 .. n - 1 (Tan et al. 2024, equation 3). The nearest key comes first, which encodes
    order without further positions.

    Args:
        shape: Dimensions of the network.
        remainder: "self": the rest of the attention goes to the query's own value, as in the first
            version of the authors' language models; "none": it is dropped.
    """

    paper = "arXiv:2410.17980"
    stages = frozenset({"trained"})
    own_weights = True
    family = "content"

    def __init__(self, shape: Shape, *, remainder: Literal["self", "none"] = "self"):
        super().__init__(shape)
        self.to_self = remainder == "self"

    def make_layer_module(self) -> nn.Module:
        return Stick(self.to_self)


class Stick(nn.Module):
    """Attention weights of one layer; no parameters."""

    def __init__(self, to_self: bool):
        super().__init__()
        self.to_self = to_self

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(attention_fn=self.attention_weights)

    def attention_weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, masked_QK: Tensor
    ) -> Tensor:
        own_key_Q1 = (~masked_QK).sum(-1, keepdim=True) - 1
        is_before_QK = torch.arange(masked_QK.shape[-1], device=masked_QK.device) < own_key_Q1
        # ln(1 - sigmoid(z)), the log share of the stick that each key leaves over.
        log_leave_BHQK = F.logsigmoid(-scores_BHQK).masked_fill(~is_before_QK, 0)
        log_rest_BHQK = log_leave_BHQK.flip(-1).cumsum(-1).flip(-1) - log_leave_BHQK
        weights_BHQK = (F.logsigmoid(scores_BHQK) + log_rest_BHQK).exp()
        weights_BHQK = weights_BHQK.masked_fill(~is_before_QK, 0)
        if not self.to_self:
            return weights_BHQK
        remainder_BHQ1 = log_leave_BHQK.sum(-1, keepdim=True).exp()
        return weights_BHQK.scatter(-1, own_key_Q1.expand_as(remainder_BHQ1), remainder_BHQ1)
