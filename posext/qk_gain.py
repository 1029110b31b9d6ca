"""Learned or fixed gains on the dimensions of queries and keys."""

from typing import Literal

import torch
from torch import Tensor, nn

from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError
from posext.utils.ranges import Finite


class QKGain(Modifier):
    """Multiplies the rotated queries and keys by a gain per dimension, the same in all heads.

    The magnitudes and the reweighting of dimensions of the design note; not from the literature.

    Args:
        shape: Dimensions of the network.
        of: "pair": one gain for both dimensions of a rotary pair. It commutes with the rotation, so
            scores still depend on distances alone, and W_q and W_k could absorb it. "dimension":
            one gain per dimension. It does not commute, so scores depend on positions.
        weights: Fixed gains, one per pair or dimension; None: learned from 1, for every layer.

    Raises:
        PosextError: of="pair" with an odd head_dim, or weights of another number.
    """

    paper = "design note"
    stages = frozenset({"trained"})

    def __init__(
        self,
        shape: Shape,
        *,
        of: Literal["pair", "dimension"] = "pair",
        weights: list[Finite] | None = None,
    ):
        super().__init__(shape)
        if of == "pair" and shape.head_dim % 2:
            raise PosextError(f"gains of pairs need an even head_dim, not {shape.head_dim}")
        self.repeat = 2 if of == "pair" else 1
        self.weights = weights
        self.count = shape.head_dim // self.repeat
        if weights is not None and len(weights) != self.count:
            raise PosextError(
                f"qk_gain.weights has {len(weights)} numbers; a head has {self.count} {of}s"
            )

    def keeps_relative(self, scheme: PositionalEncoding) -> bool:
        return self.repeat == 2 or scheme.family != "rotary"

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        if self.weights is None:
            return tables
        weights = torch.tensor(self.weights, device=tables.positions_T.device)
        return tables._replace(gain_D=weights.repeat(self.repeat))

    def make_layer_module(self) -> nn.Module | None:
        return Gain(self.count, self.repeat) if self.weights is None else None


class Gain(nn.Module):
    """Learned gains of one layer."""

    def __init__(self, count: int, repeat: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(count))
        self.repeat = repeat

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(gain_D=self.gain.repeat(self.repeat))
