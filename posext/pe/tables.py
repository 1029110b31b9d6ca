"""Tables that a scheme hands to attention, told apart by their types and shapes.

Shape suffixes: B batch, T positions, L distances, H heads, D head_dim, Q queries, K keys, R rotary
pairs (at most D / 2), W gates of a head (1 or D).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from posext.utils.errors import PosextError


class Rotation(NamedTuple):
    """cos and sin of every position's phase, times the attention factor; float32 (T, R).

    The shape is (H, T, R) where heads differ, and (B, H, T, R) where the content decides. The first
    2 R dimensions of a head are rotated, in half-split pairs (i, i + R); the others are left as
    they are. Queries are multiplied by the gain, keys are divided by it.
    """

    cos_TR: Tensor
    sin_TR: Tensor
    gain_TR: Tensor | None = None


class KeyBias(NamedTuple):
    """Term of the attention logits by head and key alone, not scaled by 1/sqrt(head_dim).

    float64 (H, K), or (B, H, K) for a bias that is computed from the content.
    """

    values_HK: Tensor


class DistanceBias(NamedTuple):
    """Term of the attention logits by head and distance 0, 1, .. of the context; float32 (H, L)."""

    values_HL: Tensor


class PairBias(NamedTuple):
    """Term of the attention logits by query position and key position.

    `rows` maps positions (Q,) and (K,) to the bias, float32 (H, Q, K).
    """

    rows: Callable[[Tensor, Tensor], Tensor]


class DenseBias(NamedTuple):
    """Term of the attention logits as a full matrix; float32 (H, Q, K)."""

    values_HQK: Tensor


class QKNorm(NamedTuple):
    """RMS norm of queries and keys, with optional gains; float32.

    Attributes:
        rotated: Normalize after the rotation; else before it.
        over_heads: Normalize over all dimensions of all heads together; else each head alone.
        epsilon: What is added to the mean square.
        query_gain: Gain on queries, (D,) for each head alone and (H, 1, D) for all together; None
            for none.
        key_gain: Gain on keys, likewise.
    """

    rotated: bool
    over_heads: bool
    epsilon: float
    query_gain: Tensor | None = None
    key_gain: Tensor | None = None


class KeyGroup(NamedTuple):
    """A group of keys, with the rotations under which queries attend to them.

    Attributes:
        mask_mod: Maps the indices of queries (Q, 1) and keys (1, K) to True for each key that the
            query attends to; the causal mask comes on top.
        queries: Rotation of the queries; None: the scheme's own.
        keys: Rotation of the keys; None: the scheme's own.
        span: Evaluate `mask_mod` for the last `span` keys of each query only.
        first: Evaluate `mask_mod` for the `first` keys of the context only.
    """

    mask_mod: Callable[[Tensor, Tensor], Tensor]
    queries: Rotation | None = None
    keys: Rotation | None = None
    span: int | None = None
    first: int | None = None


def last_keys(size: int) -> KeyGroup:
    """Return the group of the last `size` keys of every query, its own included."""
    return KeyGroup(lambda queries_Q1, keys_1K: queries_Q1 - keys_1K < size, span=size)


class AttentionRows(NamedTuple):
    """What attention computes for consecutive queries, for whoever observes it.

    Attributes:
        start: Index of the first query.
        q_BHQD: The queries, as they enter the scores.
        k_BHQD: The keys of the same tokens, likewise.
        keys_K: Index of each key that the weights are for, int64; no key is visible twice.
        visible_QK: Whether the query may attend to the key.
        logits_BHQK: Scaled scores, capped, with their bias; anything where the key is not visible.
        weights_BHQK: What values are multiplied by, in at least float32; 0 where not visible.
    """

    start: int
    q_BHQD: Tensor
    k_BHQD: Tensor
    keys_K: Tensor
    visible_QK: Tensor
    logits_BHQK: Tensor
    weights_BHQK: Tensor


class AttentionTables(NamedTuple):
    """All positional information of one layer's attention.

    Attributes:
        positions_T: Positions of the tokens, int64 or float64.
        rotation: Rotation of queries and keys.
        bias: Term that is added to the scaled attention logits.
        logit_scale: Factor on the logits q k / sqrt(head_dim) by query, float32 (T,), (H, T) or
            (B, H, T).
        gain_D: Factor on queries and on keys after their rotation, float32.
        query_map: Maps queries after norm, rotation and gain to those of the scores, of any width.
        key_map: Maps keys likewise.
        qk_norm: Norm of queries and keys; None for none.
        sink_H: Logit that joins the softmax of every query and has no value, float32 (H,).
        gate_BHTW: Factor on the attended values, by query.
        softcap: c of c tanh(x / c) on the scaled logits, before the bias; of the network, not of a
            scheme.
        key_groups: Disjoint groups of keys; empty: one group, all keys under the causal mask.
        score_rows: Maps (q_BHTD, k_BHTD) as mapped above, in at least float32, to a function of
            (start, stop): the scaled scores_BHQK of queries `start` to `stop` for all keys before
            `stop`, anything finite for keys after the query. None: q k / sqrt(head_dim).
        attention_fn: Maps (rotated q_BHQD, scaled scores_BHQK, bias_HQK or None, masked_QK, True
            for each key after the query) to weights_BHQK; None: softmax of scores + bias.
        observe: Called with the rows of every query, a chunk at a time, in any order; None: nobody
            looks, so that a fused kernel may compute no weights.
    """

    positions_T: Tensor
    rotation: Rotation | None = None
    bias: KeyBias | DistanceBias | PairBias | DenseBias | None = None
    logit_scale: Tensor | None = None
    gain_D: Tensor | None = None
    query_map: Callable[[Tensor], Tensor] | None = None
    key_map: Callable[[Tensor], Tensor] | None = None
    qk_norm: QKNorm | None = None
    sink_H: Tensor | None = None
    gate_BHTW: Tensor | None = None
    softcap: float | None = None
    key_groups: tuple[KeyGroup, ...] = ()
    score_rows: Callable[[Tensor, Tensor], Callable[[int, int], Tensor]] | None = None
    attention_fn: Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor] | None = None
    observe: Callable[[AttentionRows], None] | None = None


def distances(positions_K: Tensor) -> Tensor:
    """Return all distances that occur between positions, 0 first: int64 (L,).

    Raises:
        PosextError: The positions are no whole numbers.
    """
    check_whole(positions_K, "a bias by distance")
    return torch.arange(int(positions_K[-1] - positions_K[0]) + 1, device=positions_K.device)


def check_whole(positions_T: Tensor, user: str) -> None:
    """Raise PosextError if positions are no whole numbers, which `user` needs."""
    if positions_T.is_floating_point():
        raise PosextError(
            f"{user} needs whole positions, not those of position_ids=random_floats; "
            "position_ids=randomized draws whole ones"
        )
