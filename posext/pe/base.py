"""What a positional scheme is: the few places at which it may touch the network.

A scheme returns *tables* (a rotation, an additive bias), not code that runs inside a layer: they are made once per
forward pass in float64, and attention picks its path from their shape alone, so nothing outside this folder ever asks
which scheme it has.

Shape suffixes: B batch, T positions, C model width, H heads, Q queries, K keys, R rotated pairs (at most head_dim / 2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """What a scheme may know of the network it serves, and the length (tokens) at which training starts."""

    head_dim: int
    n_heads: int
    d_model: int
    original_length: int


class Rotation(NamedTuple):
    """cos and sin of every position's phase, times the attention factor; float32 (T, R).

    The first 2 R dimensions of a head turn, in half-split pairs (i, i + R); the rest stay. Queries are multiplied by the
    gain, keys divided by it.
    """

    cos_TR: Tensor
    sin_TR: Tensor
    gain_TR: Tensor | None = None


class KeyBias(NamedTuple):
    """A term of the attention logits that depends on head and key alone, not scaled by 1/sqrt(head_dim).

    float64 (H, K), or (B, H, K) where it is made from the content.
    """

    values_HK: Tensor


class DistanceBias(NamedTuple):
    """A term that depends on head and distance alone, for the distances 0 .. T - 1; float32 (H, T)."""

    values_HT: Tensor


class PairBias(NamedTuple):
    """A term of query and key positions: a function of (Q,) and (K,) positions that gives float32 (H, Q, K)."""

    rows: Callable[[Tensor, Tensor], Tensor]


class Tables(NamedTuple):
    """All that one layer's attention needs to know about order."""

    rotation: Rotation | None = None
    bias: KeyBias | DistanceBias | PairBias | None = None


class PositionalEncoding(nn.Module):
    """The interface of a scheme. Every method's default does nothing, so as it stands this is a model without positions."""

    family: ClassVar[str] = "none"  # an extension replaces a scheme of its own family
    relative: ClassVar[bool] = True  # logits depend on distances only: shifting every position changes nothing
    of_the_weights: ClassVar[tuple[str, ...]] = ()  # settings an extension inherits from the run unless told otherwise
    length_dependent = False  # logits at a position depend on the length of the whole context
    max_length: int | None = None  # longest context (tokens) at which the scheme is defined; None: every length

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.trained_length = shape.original_length  # the trainer raises it at every stage of a length schedule

    def positions(self, length: int, device: torch.device | None = None) -> Tensor:
        """The position of every token of a context of `length` tokens: int64 (T,)."""
        return torch.arange(length, device=device)

    def embed(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        """Token embeddings in, what the first layer sees out; the same shape."""
        return x_BTC

    def rotation(self, positions_T: Tensor, length: int) -> Rotation | None:
        """By how much queries and keys turn at every position, in a context of `length` tokens."""
        return None

    def bias(self, positions_K: Tensor) -> KeyBias | DistanceBias | PairBias | None:
        """What is added to the attention logits."""
        return None

    def per_layer(self) -> nn.Module | None:
        """A new module for one layer, which maps what its attention reads (B, T, C) to a KeyBias (B, H, K)."""
        return None

    def tables(self, positions_T: Tensor) -> Tables:
        """Everything attention needs for one forward pass over these positions."""
        return Tables(self.rotation(positions_T, len(positions_T)), self.bias(positions_T))

    def describe(self) -> dict[str, Any]:
        """What is worth recording beside a run: figures that the config does not show."""
        return {}
