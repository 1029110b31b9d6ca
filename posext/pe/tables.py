"""What a scheme hands to attention: tables, known by their shape.

Shape suffixes: B batch, T positions, L distances, H heads, D head_dim, Q queries, K keys, R rotated pairs (at most D / 2).
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


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
    """A term that depends on head and distance alone, for the distances 0, 1, .. of the context; float32 (H, L)."""

    values_HL: Tensor


class PairBias(NamedTuple):
    """A term of query and key positions: a function of (Q,) and (K,) positions that gives float32 (H, Q, K)."""

    rows: Callable[[Tensor, Tensor], Tensor]


class DenseBias(NamedTuple):
    """Any term, written out: float32 (H, Q, K)."""

    values_HQK: Tensor


class KeyGroup(NamedTuple):
    """Some of the keys up to the query's own, and the rotations at which they are seen (None: the scheme's own).

    `sees` maps the indices of queries (Q, 1) and keys (1, K) to where a query sees a key. It is asked only for the last
    `span` keys of a query and for the `first` keys of the context, where these are given.
    """

    sees: Callable[[Tensor, Tensor], Tensor]
    queries: Rotation | None = None
    keys: Rotation | None = None
    span: int | None = None
    first: int | None = None


class AttentionTables(NamedTuple):
    """All that one layer's attention needs to know about order."""

    positions_T: Tensor
    rotation: Rotation | None = None
    bias: KeyBias | DistanceBias | PairBias | DenseBias | None = None
    multiplier: Tensor | None = None  # of the scores, by query: float32 (T,) or (H, T)
    gain_D: Tensor | None = None  # of queries and of keys, after they turned: float32 (D,)
    views: tuple[
        KeyGroup, ...
    ] = ()  # no key in more than one of them; none: every key up to the query's own
    weights: Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor] | None = (
        None  # None: softmax of scores + bias
    )
    # (q_BHQD turned, scores_BHQK scaled, bias_HQK, hidden_QK where a key lies after the query) to weights_BHQK
