"""CoPE: contextual positions."""

import math

import torch
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Shape
from posext.utils.ranges import AtLeastTwo


class CoPE(PositionalEncoding):
    """Counts the distance to a key by gates of content, and learns an embedding of that count.

    Key m stands p = sum of sigmoid(q_n k_l) over l = m .. n back from query n, and its logit is
    q_n (k_m + e[p]) (Golovneva et al. 2024, equations 3-5). e is learned from 0 for whole p and
    interpolated in between. As in the paper's listing, q k is divided by sqrt(head_dim), in the
    gates too, and q e is not. The heads of a layer share e.

    Args:
        shape: Dimensions of the network.
        max_position: Length of e; p is clamped to its end.
    """

    paper = "arXiv:2405.18719"
    stages = frozenset({"trained"})
    own_weights = True
    family = "content"

    def __init__(self, shape: Shape, *, max_position: AtLeastTwo = 64):
        super().__init__(shape)
        self.max_position = max_position

    def make_layer_module(self) -> nn.Module:
        return ContextualPositions(self.max_position, self.shape.head_dim)


class ContextualPositions(nn.Module):
    """Position embeddings e of one layer, and its attention weights."""

    def __init__(self, max_position: int, head_dim: int):
        super().__init__()
        self.table_PD = nn.Parameter(torch.zeros(max_position, head_dim))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(attention_fn=self.attention_weights)

    def attention_weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, masked_QK: Tensor
    ) -> Tensor:
        scores_BHQK = scores_BHQK + self.logits(q_BHQD, scores_BHQK, masked_QK)
        return scores_BHQK.masked_fill(masked_QK, -math.inf).softmax(dim=-1)

    def logits(self, q_BHQD: Tensor, scores_BHQK: Tensor, masked_QK: Tensor) -> Tensor:
        """Return q_n e[p] for every query and key: (B, H, Q, K)."""
        last_position = len(self.table_PD) - 1
        with torch.autocast(q_BHQD.device.type, enabled=False):
            gates_BHQK = scores_BHQK.sigmoid().masked_fill(masked_QK, 0)
            position_BHQK = gates_BHQK.flip(-1).cumsum(-1).flip(-1).clamp(max=last_position)
            logits_BHQP = q_BHQD.to(self.table_PD.dtype) @ self.table_PD.T
            below_BHQK = position_BHQK.long()
            above_BHQK = (below_BHQK + 1).clamp(max=last_position)
            fraction_BHQK = position_BHQK - below_BHQK
            return (
                logits_BHQP.gather(-1, below_BHQK) * (1 - fraction_BHQK)
                + logits_BHQP.gather(-1, above_BHQK) * fraction_BHQK
            )
