"""CoPE: positions counted by content."""

import math

import torch
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Shape
from posext.utils.errors import PosextError


class CoPE(PositionalEncoding):
    """Key m stands p = the sum of sigmoid(q_n k_l) over l = m .. n back from query n, and its logit is q_n (k_m + e[p]).

    Golovneva et al. 2024, arXiv:2405.18719, equations 3-5: e is learned from 0 for whole p below `max_position`, in between
    it is interpolated, and p stops growing there. As in the paper's listing q k is divided by sqrt(head_dim), in the gates
    too, and q e is not; e is shared by the heads of a layer. Class T. Raises PosextError for a max_position below 2.
    """

    family = "content"

    def __init__(self, shape: Shape, *, max_position: int = 64):
        super().__init__(shape)
        if max_position < 2:
            raise PosextError(f"max_position must be at least 2, not {max_position}")
        self.max_position = max_position

    def make_layer_module(self) -> nn.Module:
        return ContextualPositions(self.max_position, self.shape.head_dim)


class ContextualPositions(nn.Module):
    def __init__(self, max_position: int, head_dim: int):
        super().__init__()
        self.table_PD = nn.Parameter(torch.zeros(max_position, head_dim))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(weights=self.weights)

    def weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, hidden_QK: Tensor
    ) -> Tensor:
        scores_BHQK = scores_BHQK + self.logits(q_BHQD, scores_BHQK, hidden_QK)
        return scores_BHQK.masked_fill(hidden_QK, -math.inf).softmax(dim=-1)

    def logits(self, q_BHQD: Tensor, scores_BHQK: Tensor, hidden_QK: Tensor) -> Tensor:
        """q_n e[p] of every query and key."""
        with torch.autocast(q_BHQD.device.type, enabled=False):
            gates_BHQK = scores_BHQK.sigmoid().masked_fill(hidden_QK, 0)
            back_BHQK = gates_BHQK.flip(-1).cumsum(-1).flip(-1).clamp(max=len(self.table_PD) - 1)
            whole_BHQP = q_BHQD.to(self.table_PD.dtype) @ self.table_PD.T
            below_BHQK = back_BHQK.long()
            above_BHQK = (below_BHQK + 1).clamp(max=len(self.table_PD) - 1)
            share_BHQK = back_BHQK - below_BHQK
            return (
                whole_BHQP.gather(-1, below_BHQK) * (1 - share_BHQK)
                + whole_BHQP.gather(-1, above_BHQK) * share_BHQK
            )
