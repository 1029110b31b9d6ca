"""HeadScale, for networks without positions."""

import torch
from torch import Tensor, nn

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape
from posext.pe.tables import AttentionTables
from posext.utils.ranges import AtLeastOne


class HeadScale(AttentionScale):
    """Sharpens attention by a factor that every head of every layer learns for itself.

    The factor starts from one temperature for all heads, and is at least 1 (Wang et al. 2024). The
    paper trains it alone, on longer contexts of a network without positions; with
    `init=RUN +attention_scale=headscale` all other weights go on training too.

    Args:
        shape: Dimensions of the network.
        start: Initial factor. The paper's uniform temperatures are 1.2, 1.5 and 1.8, for contexts
            of two, four and eight times the original length.
    """

    paper = "arXiv:2404.12224"
    stages = frozenset({"fine-tuned"})

    def __init__(self, shape: Shape, *, start: AtLeastOne = 1.2):
        super().__init__(shape)
        self.start = start

    def make_layer_module(self) -> nn.Module:
        return HeadFactors(self.shape.n_heads, self.start)


class HeadFactors(nn.Module):
    """Factors of one layer."""

    def __init__(self, heads: int, start: float):
        super().__init__()
        self.factor_H = nn.Parameter(torch.full((heads,), start))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        # A factor at its bound keeps its gradient, and can leave the bound.
        factor_H = self.factor_H + (self.factor_H.clamp(min=1) - self.factor_H).detach()
        return tables._replace(logit_scale=factor_H[:, None].expand(-1, len(tables.positions_T)))
