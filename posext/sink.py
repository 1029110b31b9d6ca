"""Attention sinks in the softmax: a logit without a value."""

import torch
from torch import Tensor, nn

from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError
from posext.utils.ranges import Finite


class SoftmaxSink(Modifier):
    """Adds a logit to the softmax of every query that no value goes with.

    A head can then attend to nothing, and need not park its attention on the first token (Xiao et
    al. 2023, section 3.3). With a fixed logit of 0 it is the softmax with one more in the
    denominator; learned for each head it is that of gpt-oss (arXiv:2508.10925).

    Args:
        shape: Dimensions of the network.
        learned: Learn the logit, for each head of each layer.
        start: The logit, or what it is learned from.
    """

    paper = "arXiv:2309.17453"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, learned: bool = True, start: Finite = 0.0):
        super().__init__(shape)
        self.learned = learned
        self.start = start

    def check(self, scheme: PositionalEncoding) -> None:
        if scheme.own_weights:
            raise PosextError(
                "a sink needs attention weights that are a softmax of scores, "
                f"not those of {type(scheme).__name__}"
            )

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        start_H = torch.full((self.shape.n_heads,), self.start, device=tables.positions_T.device)
        return tables._replace(sink_H=start_H)

    def make_layer_module(self) -> nn.Module | None:
        return SinkLogits(self.shape.n_heads, self.start) if self.learned else None


class SinkLogits(nn.Module):
    """The learned sinks of one layer."""

    def __init__(self, heads: int, start: float):
        super().__init__()
        self.logits = nn.Parameter(torch.full((heads,), start))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(sink_H=self.logits)
