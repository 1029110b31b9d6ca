"""Norm of queries and keys."""

from typing import Literal

import torch
from torch import Tensor, nn

from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.pe.tables import AttentionTables, QKNorm
from posext.utils.ranges import Positive


class QKRMSNorm(Modifier):
    """Divides queries and keys by their root mean square, so that logits are bounded.

    Henry et al. 2020 (arXiv:2010.04245) normalize queries and keys of each head; with RMS norm and
    a gain before the rotation it is that of Qwen3 (arXiv:2505.09388) and, over all heads together,
    of OLMo 2 (arXiv:2501.00656). After the rotation and without a gain it is that of nanochat,
    where a factor on cos and sin, such as YaRN's temperature, has no effect.

    Args:
        shape: Dimensions of the network.
        place: "before" the rotation, or "after" it.
        over: "head": each head alone; "heads": all heads of a token together.
        gain: Learn a gain for every dimension, from 1, for queries and keys and every layer.
        epsilon: What is added to the mean square.
    """

    paper = "arXiv:2010.04245"
    stages = frozenset({"trained"})

    def __init__(
        self,
        shape: Shape,
        *,
        place: Literal["before", "after"] = "before",
        over: Literal["head", "heads"] = "head",
        gain: bool = True,
        epsilon: Positive = 1e-6,
    ):
        super().__init__(shape)
        self.norm = QKNorm(place == "after", over == "heads", epsilon)
        self.has_gain = gain

    def keeps_relative(self, scheme: PositionalEncoding) -> bool:
        """Return False for a gain after the rotation, which does not commute with it."""
        return not (self.has_gain and self.norm.rotated and scheme.family == "rotary")

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        return tables._replace(qk_norm=self.norm)

    def make_layer_module(self) -> nn.Module | None:
        if not self.has_gain:
            return None
        heads = (self.shape.n_heads, 1) if self.norm.over_heads else ()
        return NormGains((*heads, self.shape.head_dim))


class NormGains(nn.Module):
    """Learned gains on the normalized queries and keys of one layer."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.query = nn.Parameter(torch.ones(shape))
        self.key = nn.Parameter(torch.ones(shape))

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        assert tables.qk_norm is not None
        norm = tables.qk_norm._replace(query_gain=self.query, key_gain=self.key)
        return tables._replace(qk_norm=norm)
