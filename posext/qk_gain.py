"""Learned or given magnitudes on queries and keys, dimension by dimension."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError


class QKGain(Modifier):
    """Queries and keys are multiplied by a gain after they turned, the same in all heads of a layer.

    The magnitudes and the reweighting of dimensions of the design note; not from the literature. `of="pair"` has one gain for
    both dimensions of a rotary pair and commutes with the rotation: scores still depend on distances alone, and W_q and W_k
    could absorb it. `of="dimension"` does not commute, and scores then depend on positions. `weights` fixes the gains, one a
    pair or dimension; without, they are learned from 1. Class T.
    Raises PosextError for an odd head_dim with pairs, or another number of weights.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        of: Literal["pair", "dimension"] = "pair",
        weights: list[float] | None = None,
    ):
        super().__init__(shape)
        if of == "pair" and shape.head_dim % 2:
            raise PosextError(f"gains of pairs need an even head_dim, not {shape.head_dim}")
        self.repeat = 2 if of == "pair" else 1
        self.weights, self.count = weights, shape.head_dim // self.repeat
        if weights is not None and not all(map(math.isfinite, weights)):
            raise PosextError(f"qk_gain.weights must be finite numbers, not {weights}")
        if weights is not None and len(weights) != self.count:
            raise PosextError(
                f"qk_gain.weights has {len(weights)} numbers; a head has {self.count} {of}s"
            )

    def check(self, scheme: PositionalEncoding) -> None:
        if self.repeat == 1 and scheme.family == "rotary":
            scheme.relative = False

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        if self.weights is None:
            return tables
        return tables._replace(
            gain_D=torch.tensor(self.weights, device=tables.positions_T.device).repeat(self.repeat)
        )

    def make_layer_module(self) -> nn.Module | None:
        return Gain(self.count, self.repeat) if self.weights is None else None


class Gain(nn.Module):
    def __init__(self, count: int, repeat: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(count))
        self.repeat = repeat

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(gain_D=self.gain.repeat(self.repeat))
