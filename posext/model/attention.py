"""Causal attention. The path follows from what the scheme returned, the length and the device, never from a name.

Short contexts on a CPU, and few queries anywhere: explicit scores; short ones compile into fewer passes over memory than
the fused kernel's backward.
Otherwise torch's fused causal attention, memory linear in length; a bias that depends on the key alone is folded into
extra head dimensions of it, exact under softmax. Any other bias, views of the keys, or weights that are no softmax:
explicit scores while all of them fit, then a chunk of queries at a time, memory linear in length.

Shape suffixes: B batch, H heads, T tokens, D head_dim, R rotated pairs, Q queries, K keys, P parts.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from posext.pe.tables import AttentionTables, DenseBias, DistanceBias, KeyBias, PairBias, Rotation
from posext.utils.errors import PosextError

EXPLICIT_LENGTH = 256  # up to here explicit scores win on a CPU
DENSE_LENGTH = 1024  # up to here a bias that is not of the key alone is one matrix for all layers
CHUNK = 128  # queries at a time beyond


def prepare(tables: AttentionTables) -> AttentionTables:
    """What all layers share, made once: a bias that is not of the key alone is written out where it is not too large.

    Raises PosextError for what no path computes: views together with weights that are no softmax.
    """
    if tables.views and tables.weights is not None:
        raise PosextError("a window needs attention weights that are a softmax of scores")
    length = len(tables.positions_T)
    if not isinstance(tables.bias, DistanceBias | PairBias) or length > DENSE_LENGTH:
        return tables
    return tables._replace(bias=DenseBias(bias_rows(tables, tables.bias, 0, length)))


def bias_rows(
    tables: AttentionTables,
    bias: KeyBias | DistanceBias | PairBias | DenseBias,
    start: int,
    stop: int,
) -> Tensor:
    """The bias of the queries `start` to `stop` and all keys up to there: (H, stop - start, stop), 0 at the query's own
    key where it is one of the key alone.
    """
    if isinstance(bias, KeyBias):
        return (bias.values_HK[..., None, :stop] - bias.values_HK[..., start:stop, None]).float()
    if isinstance(bias, DenseBias):
        return bias.values_HQK[:, start:stop, :stop]
    positions_Q, positions_K = tables.positions_T[start:stop], tables.positions_T[:stop]
    if isinstance(bias, DistanceBias):
        return bias.values_HL[:, (positions_Q[:, None] - positions_K).clamp(min=0)]
    with torch.autocast(positions_K.device.type, enabled=False):
        return bias.rows(positions_Q, positions_K)


def apply_rotary(
    x_BHTD: Tensor, rotation: Rotation | None, exponent: int, gain_D: Tensor | None = None
) -> Tensor:
    """Turn the half-split pairs (i, i + R) of the first 2 R dimensions, times its gain^exponent, times `gain_D`.

    Computed in float32, returned in the dtype that came in.
    """
    if rotation is None:
        return x_BHTD if gain_D is None else (x_BHTD.float() * gain_D).to(x_BHTD.dtype)
    cos_TR, sin_TR, gain_TR = rotation
    if gain_TR is not None:
        cos_TR, sin_TR = cos_TR * gain_TR**exponent, sin_TR * gain_TR**exponent
    pairs = cos_TR.shape[-1]
    first, second, rest = x_BHTD.float().split((pairs, pairs, x_BHTD.shape[-1] - 2 * pairs), dim=-1)
    turned = (first * cos_TR - second * sin_TR, second * cos_TR + first * sin_TR, rest)
    turned = torch.cat(turned if rest.shape[-1] else turned[:2], dim=-1)
    return (turned if gain_D is None else turned * gain_D).to(x_BHTD.dtype)


def attend(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: AttentionTables, last: int | None = None
) -> Tensor:
    """Causal attention of every token, or of the `last` ones, to itself and those before it: (B, H, `last` or T, D), logits
    scaled by 1/sqrt(D).
    """
    length, on_cpu = q_BHTD.shape[2], q_BHTD.device.type == "cpu"
    first = 0 if last is None else max(0, length - last)
    if tables.multiplier is not None:
        q_BHTD = (q_BHTD.float() * tables.multiplier[..., None]).to(q_BHTD.dtype)
    if tables.views:
        return chunk_queries(attend_key_groups, q_BHTD, k_BHTD, v_BHTD, tables, first)
    q_BHTD, k_BHTD = (
        apply_rotary(x, tables.rotation, exponent, tables.gain_D)
        for x, exponent in ((q_BHTD, 1), (k_BHTD, -1))
    )
    of_the_key = tables.bias is None or isinstance(tables.bias, KeyBias)
    few = first >= length / 2 or (on_cpu and length <= EXPLICIT_LENGTH)
    if tables.weights is not None or not of_the_key or few:
        return chunk_queries(attend_dense, q_BHTD, k_BHTD, v_BHTD, tables, first)
    with torch.autocast(q_BHTD.device.type, enabled=False):
        qkv = promote(q_BHTD, k_BHTD, v_BHTD)
        if isinstance(tables.bias, KeyBias):
            return attend_folded_bias(*qkv, tables.bias)[:, :, first:].to(v_BHTD.dtype)
        return F.scaled_dot_product_attention(*qkv, is_causal=True)[:, :, first:].to(v_BHTD.dtype)


def promote(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All three in the dtype of long contexts: float32 on a CPU, no slower there and more precise; else that of values."""
    dtype = torch.float32 if v_BHTD.device.type == "cpu" else v_BHTD.dtype
    return q_BHTD.to(dtype), k_BHTD.to(dtype), v_BHTD.to(dtype)


AttentionKernel = Callable[[Tensor, Tensor, Tensor, AttentionTables], Callable[[int, int], Tensor]]


def chunk_queries(
    path: AttentionKernel,
    q_BHTD: Tensor,
    k_BHTD: Tensor,
    v_BHTD: Tensor,
    tables: AttentionTables,
    first: int,
) -> Tensor:
    """A path gives the queries `start` to `stop`: all from `first` on at once, or a chunk at a time where that would be too
    large.
    """
    length = q_BHTD.shape[2]
    if length <= DENSE_LENGTH:
        return path(q_BHTD, k_BHTD, v_BHTD, tables)(first, length)
    with torch.autocast(q_BHTD.device.type, enabled=False):
        part = path(*promote(q_BHTD, k_BHTD, v_BHTD), tables)
        starts = reversed(
            range(first, length, CHUNK)
        )  # the largest first: what it frees, the others fit in
        chunks = [part(start, min(start + CHUNK, length)) for start in starts]
        return torch.cat(chunks[::-1], dim=2).to(v_BHTD.dtype)


def scores(q_BHQD: Tensor, k_BHKD: Tensor) -> Tensor:
    """q k / sqrt(head_dim): (B, H, Q, K), at least float32."""
    products_BHQK = q_BHQD @ k_BHKD.transpose(-1, -2)
    return (
        products_BHQK.to(torch.promote_types(products_BHQK.dtype, torch.float32))
        * q_BHQD.shape[-1] ** -0.5
    )


def attend_dense(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: AttentionTables
) -> Callable[[int, int], Tensor]:
    """All scores of some queries and the keys up to them, weights in float32. Memory: queries times keys."""

    def part(start: int, stop: int) -> Tensor:
        q_BHQD, bias = q_BHTD[:, :, start:stop], tables.bias
        scores_BHQK = scores(q_BHQD, k_BHTD[:, :, :stop])
        hidden_QK = torch.ones(scores_BHQK.shape[-2:], dtype=torch.bool, device=q_BHTD.device).triu(
            start + 1
        )
        if tables.weights is not None:
            bias_HQK = None if bias is None else bias_rows(tables, bias, start, stop)
            weights_BHQK = tables.weights(q_BHQD, scores_BHQK, bias_HQK, hidden_QK)
        else:
            if isinstance(bias, KeyBias):  # what is constant along a row drops out
                scores_BHQK = (
                    scores_BHQK + relative_to_last_key(bias).to(scores_BHQK.dtype)[..., None, :stop]
                )
            elif bias is not None:
                scores_BHQK = scores_BHQK + bias_rows(tables, bias, start, stop)
            weights_BHQK = scores_BHQK.masked_fill(hidden_QK, -math.inf).softmax(dim=-1)
        return weights_BHQK.to(v_BHTD.dtype) @ v_BHTD[:, :, :stop]

    return part


def attend_key_groups(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: AttentionTables
) -> Callable[[int, int], Tensor]:
    """The scores of every view's keys beside each other, one softmax over all of them. Memory: queries times keys seen."""
    turned = [
        (
            apply_rotary(
                q_BHTD, tables.rotation if view.queries is None else view.queries, 1, tables.gain_D
            ),
            apply_rotary(
                k_BHTD, tables.rotation if view.keys is None else view.keys, -1, tables.gain_D
            ),
        )
        for view in tables.views
    ]

    def part(start: int, stop: int) -> Tensor:
        all_scores, all_values = [], []
        queries_Q1 = torch.arange(start, stop, device=q_BHTD.device)[:, None]
        bias_HQK = None if tables.bias is None else bias_rows(tables, tables.bias, start, stop)
        for view, (q, k) in zip(tables.views, turned, strict=True):
            begin = 0 if view.span is None else max(0, start - view.span + 1)
            end = stop if view.first is None else min(stop, view.first)
            keys_1K = torch.arange(begin, max(begin, end), device=q_BHTD.device)
            seen_QK = view.sees(queries_Q1, keys_1K) & (keys_1K <= queries_Q1)
            scores_BHQK = scores(q[:, :, start:stop], k[:, :, begin:end])
            if bias_HQK is not None:
                scores_BHQK = scores_BHQK + bias_HQK[..., begin:end]
            all_scores.append(scores_BHQK.masked_fill(~seen_QK, -math.inf))
            all_values.append(v_BHTD[:, :, begin:end])
        return torch.cat(all_scores, dim=-1).softmax(dim=-1).to(v_BHTD.dtype) @ torch.cat(
            all_values, dim=2
        )

    return part


def attend_folded_bias(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, bias: KeyBias) -> Tensor:
    """A bias of the key alone, as extra head dimensions: queries carry ones, keys the bias in parts that sum to it."""
    batch, heads, length, dim = q_BHTD.shape
    parts_HKP = split_mantissa(relative_to_last_key(bias) * math.sqrt(dim), q_BHTD.dtype)
    room = (
        -(dim + parts_HKP.shape[-1]) % 8 + parts_HKP.shape[-1]
    )  # fused kernels want a multiple of 8
    ones = F.pad(torch.ones_like(parts_HKP), (0, room - parts_HKP.shape[-1])).expand(
        batch, heads, length, room
    )
    parts = F.pad(parts_HKP, (0, room - parts_HKP.shape[-1])).expand(batch, heads, length, room)
    attended = F.scaled_dot_product_attention(
        torch.cat((q_BHTD, ones), dim=-1),
        torch.cat((k_BHTD, parts), dim=-1),
        F.pad(v_BHTD, (0, room)),
        is_causal=True,
        scale=dim**-0.5,
    )
    return attended[..., :dim]


def relative_to_last_key(bias: KeyBias) -> Tensor:
    """The bias relative to the last key (the same under softmax): small, so precise, where contexts are longest."""
    return bias.values_HK - bias.values_HK[..., -1:]


def split_mantissa(values_HK: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 values as parts (H, K, P) of `dtype` whose sum has the precision of float32 or better."""
    parts = []
    for _ in range(2 if dtype == torch.float32 else 3):
        parts.append(values_HK.to(dtype))
        values_HK = values_HK - parts[-1].double()
    return torch.stack(parts, dim=-1)
