"""Gates on the output of attention."""

from typing import Literal

import torch
from torch import Tensor, nn

from posext.pe.base import Modifier, Shape
from posext.pe.tables import AttentionTables


class OutputGate(Modifier):
    """Multiplies what a head attends to by a sigmoid of the layer's input.

    sigmoid(x W), before the output matrix (Qiu et al. 2025). It starts near a half. Its weights do
    not decay, as those of a scheme.

    Args:
        shape: Dimensions of the network.
        of: "head": one gate for each head; "element": one for each dimension of each head.
    """

    paper = "arXiv:2505.06708"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, of: Literal["head", "element"] = "head"):
        super().__init__(shape)
        self.width = 1 if of == "head" else shape.head_dim

    def make_layer_module(self) -> nn.Module:
        return Gate(self.shape.d_model, self.shape.n_heads, self.width)


class Gate(nn.Module):
    """The gate of one layer."""

    def __init__(self, d_model: int, heads: int, width: int):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(d_model, heads * width, bias=False)

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        gate_BTHW = torch.sigmoid(self.project(x_BTC)).unflatten(-1, (self.heads, -1))
        return tables._replace(gate_BHTW=gate_BTHW.transpose(1, 2))
