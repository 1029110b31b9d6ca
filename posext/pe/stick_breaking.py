"""Stick-breaking attention: weights that are no softmax."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Shape


class StickBreaking(PositionalEncoding):
    """A_nm = sigmoid(z_nm) times the product of 1 - sigmoid(z_nl) over l = m + 1 .. n - 1, for keys m before the query n.

    Tan et al. 2024, arXiv:2410.17980, equation 3: the nearest key takes its share of a stick first, so that order comes
    without any encoding. What is left of the stick goes to the token's own value, as in the authors' language models, or to
    nothing with `remainder="none"`. Class T.
    """

    family = "content"

    def __init__(self, shape: Shape, *, remainder: Literal["self", "none"] = "self"):
        super().__init__(shape)
        self.to_self = remainder == "self"

    def make_layer_module(self) -> nn.Module:
        return Stick(self.to_self)


class Stick(nn.Module):
    def __init__(self, to_self: bool):
        super().__init__()
        self.to_self = to_self

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(weights=self.weights)

    def weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, hidden_QK: Tensor
    ) -> Tensor:
        own_Q1 = (~hidden_QK).sum(-1, keepdim=True) - 1
        before_QK = torch.arange(hidden_QK.shape[-1], device=hidden_QK.device) < own_Q1
        kept_BHQK = F.logsigmoid(-scores_BHQK).masked_fill(
            ~before_QK, 0
        )  # ln of what key m leaves of the stick
        left_BHQK = kept_BHQK.flip(-1).cumsum(-1).flip(-1) - kept_BHQK
        taken_BHQK = (F.logsigmoid(scores_BHQK) + left_BHQK).exp().masked_fill(~before_QK, 0)
        if not self.to_self:
            return taken_BHQK
        rest_BHQ1 = kept_BHQK.sum(-1, keepdim=True).exp()
        return taken_BHQK.scatter(-1, own_Q1.expand_as(rest_BHQ1), rest_BHQ1)
