"""Causal attention. The kernel follows from the tables, the length and the device.

Dense scores where short contexts are trained on a CPU, and for few queries anywhere: short ones
compile into fewer passes over memory than the backward pass of the fused kernel.
Otherwise torch's fused causal attention, memory linear in length; a bias by key alone is folded
into extra head dimensions of it, exact under softmax. Any other bias, key groups, a sink, a cap or
documents: on a GPU FlexAttention, elsewhere dense scores. These are also for scores that are no
products, and weights other than a softmax: as long as all of them fit, then a chunk of queries at a
time, memory linear in length.

It is always a chunk at a time on a CPU without gradients, where a chunk stays in the cache and
needs no keys after it, and while somebody observes the weights (`AttentionTables.observe`).

Shape suffixes: B batch, H heads, T tokens, D head_dim, R rotary pairs, Q queries, K keys.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from posext.model import flex
from posext.model.bias_rows import bias_rows
from posext.model.fused import attend_folded_bias, attend_fused, promote, relative_to_last_key
from posext.model.loss import capped
from posext.model.queries_and_keys import turned_keys, turned_queries, wide
from posext.pe.tables import (
    AttentionRows,
    AttentionTables,
    DenseBias,
    DistanceBias,
    KeyBias,
    PairBias,
)
from posext.utils.errors import PosextError

# Longest context at which dense scores train faster than the fused kernel on a CPU.
EXPLICIT_LENGTH = 256
# Longest context at which all scores, and a bias other than a key bias, are full matrices.
DENSE_LENGTH = 1024
# Queries per chunk in longer contexts, and on a CPU without gradients.
CHUNK = 128
SMALL_CHUNK = 32


def prepare(tables: AttentionTables, compiled: bool = False) -> AttentionTables:
    """Compute what all layers share, outside of what is compiled.

    A short context's bias by distance or pair becomes a full matrix. Where FlexAttention may be
    taken, that is on a GPU in place of chunks of queries, and for shorter contexts in a compiled
    network, the block masks are made, and a bias by distance is left as it is.

    Args:
        tables: The tables of a scheme.
        compiled: Whether the layers are compiled.
    """
    length = len(tables.positions_T)
    is_long = length > DENSE_LENGTH
    worthwhile = is_long or (compiled and length >= flex.LEAST_LENGTH)
    takes_flex = worthwhile and flex.available(tables.positions_T.device)
    if takes_flex:
        tables = flex.with_block_masks(tables)
    full = PairBias if takes_flex else DistanceBias | PairBias
    if is_long or not isinstance(tables.bias, full):
        return tables
    return tables._replace(bias=DenseBias(bias_rows(tables, tables.bias, 0, length)))


def attend(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: AttentionTables, last: int | None = None
) -> Tensor:
    """Causal attention, logits scaled by 1/sqrt(D).

    Args:
        q_BHTD: Queries before their rotation.
        k_BHTD: Keys before their rotation.
        v_BHTD: Values.
        tables: The layer's tables, after `prepare`.
        last: Compute the last `last` queries only; None: all T.

    Returns:
        Attended values, (B, H, `last` or T, D).

    Raises:
        PosextError: The tables hold an `attention_fn`, and key groups, a sink or documents, or
            `score_rows` and key groups; no kernel computes that.
    """
    check_softmax(tables)
    length = q_BHTD.shape[2]
    on_cpu = q_BHTD.device.type == "cpu"
    first = 0 if last is None else max(0, length - last)
    fusible = fuses(tables)
    few_queries = first >= length / 2
    observed = tables.observe is not None
    flexible = tables.block_masks and flex.expresses(tables, q_BHTD, v_BHTD)
    if flexible and not (fusible or few_queries or observed):
        with torch.autocast(q_BHTD.device.type, enabled=False):
            if isinstance(tables.bias, PairBias):
                rows_HQK = bias_rows(tables, tables.bias, 0, length)
                tables = tables._replace(bias=DenseBias(rows_HQK))
            attended_BHTD = flex.attend_flex(*promote(q_BHTD, k_BHTD, v_BHTD), tables)
            return attended_BHTD[:, :, first:].to(v_BHTD.dtype)
    if tables.key_groups:
        return chunk_queries(attend_key_groups, q_BHTD, k_BHTD, v_BHTD, tables, first)
    q_BHTD = turned_queries(q_BHTD, tables)
    k_BHTD = turned_keys(k_BHTD, tables)
    trained_short = on_cpu and length <= EXPLICIT_LENGTH and torch.is_grad_enabled()
    if not fusible or few_queries or trained_short:
        return chunk_queries(attend_dense, q_BHTD, k_BHTD, v_BHTD, tables, first)
    with torch.autocast(q_BHTD.device.type, enabled=False):
        qkv = promote(q_BHTD, k_BHTD, v_BHTD)
        if isinstance(tables.bias, KeyBias):
            attended_BHTD = attend_folded_bias(*qkv, tables.bias)
        else:
            attended_BHTD = attend_fused(*qkv)
        return attended_BHTD[:, :, first:].to(v_BHTD.dtype)


def fuses(tables: AttentionTables) -> bool:
    """Return whether torch's fused attention computes what the tables declare."""
    beyond = (
        tables.sink_H,
        tables.softcap,
        tables.score_rows,
        tables.attention_fn,
        tables.documents_BT,
        tables.observe,
    )
    if tables.key_groups or any(part is not None for part in beyond):
        return False
    return tables.bias is None or isinstance(tables.bias, KeyBias)


def check_softmax(tables: AttentionTables) -> None:
    """Raise PosextError for what needs a softmax, or products, that the tables replace."""
    if tables.score_rows is not None and tables.key_groups:
        raise PosextError("a window needs scores that are products of queries and keys")
    for part, what in (
        (tables.key_groups or None, "a window"),
        (tables.sink_H, "a sink"),
        (tables.documents_BT, "a document mask"),
    ):
        if tables.attention_fn is not None and part is not None:
            raise PosextError(f"{what} needs attention weights that are a softmax of scores")


# Maps (q, k, v, tables) to a function that attends for the queries `start` to `stop`.
AttentionKernel = Callable[[Tensor, Tensor, Tensor, AttentionTables], Callable[[int, int], Tensor]]


def chunk_queries(
    kernel: AttentionKernel,
    q_BHTD: Tensor,
    k_BHTD: Tensor,
    v_BHTD: Tensor,
    tables: AttentionTables,
    first: int,
) -> Tensor:
    """Run a kernel for the queries from `first` on, in chunks if the context is long."""
    length = q_BHTD.shape[2]
    cached = q_BHTD.device.type == "cpu" and not torch.is_grad_enabled()
    if length <= DENSE_LENGTH and tables.observe is None and not cached:
        return kernel(q_BHTD, k_BHTD, v_BHTD, tables)(first, length)
    size = SMALL_CHUNK if cached and tables.observe is None else CHUNK
    with torch.autocast(q_BHTD.device.type, enabled=False):
        attend_range = kernel(*promote(q_BHTD, k_BHTD, v_BHTD), tables)
        # The largest chunk first: the others fit into the memory that it frees.
        starts = reversed(range(first, length, size))
        chunks = [attend_range(start, min(start + size, length)) for start in starts]
        return torch.cat(chunks[::-1], dim=2).to(v_BHTD.dtype)


def scores(q_BHQD: Tensor, k_BHKD: Tensor) -> Tensor:
    """Return q k / sqrt(head_dim): (B, H, Q, K), at least float32."""
    products_BHQK = q_BHQD @ k_BHKD.transpose(-1, -2)
    dtype = torch.promote_types(products_BHQK.dtype, torch.float32)
    return products_BHQK.to(dtype) * q_BHQD.shape[-1] ** -0.5


def row_scores(
    q_BHTD: Tensor, k_BHTD: Tensor, tables: AttentionTables
) -> Callable[[int, int], Tensor]:
    """Return a function of (start, stop): the scores of these queries for all keys before `stop`.

    Scores of the scheme's own are computed in at least float32.
    """
    if tables.score_rows is None:
        return lambda start, stop: scores(q_BHTD[:, :, start:stop], k_BHTD[:, :, :stop])
    with torch.autocast(q_BHTD.device.type, enabled=False):
        own_rows = tables.score_rows(wide(q_BHTD), wide(k_BHTD))

    def rows(start: int, stop: int) -> Tensor:
        with torch.autocast(q_BHTD.device.type, enabled=False):
            return own_rows(start, stop)

    return rows


def softmax(scores_BHQK: Tensor, sink_H: Tensor | None) -> Tensor:
    """Return the softmax over keys; with a sink, the weights of keys sum to less than 1."""
    if sink_H is None:
        return scores_BHQK.softmax(dim=-1)
    sink_BHQ1 = sink_H[:, None, None].to(scores_BHQK).expand(*scores_BHQK.shape[:-1], 1)
    return torch.cat((scores_BHQK, sink_BHQ1), dim=-1).softmax(dim=-1)[..., :-1]


def attend_dense(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: AttentionTables
) -> Callable[[int, int], Tensor]:
    """Kernel with a full matrix of scores, weights in float32. Memory: queries times keys."""
    score_rows = row_scores(q_BHTD, k_BHTD, tables)

    def attend_range(start: int, stop: int) -> Tensor:
        scores_BHQK = capped(score_rows(start, stop), tables.softcap)
        ones_QK = torch.ones(scores_BHQK.shape[-2:], dtype=torch.bool, device=q_BHTD.device)
        masked_QK = ones_QK.triu(start + 1)
        own_B1QK = of_own_document(tables, slice(start, stop), slice(stop))
        if tables.attention_fn is not None:
            bias_HQK = None if tables.bias is None else bias_rows(tables, tables.bias, start, stop)
            weights_BHQK = tables.attention_fn(
                q_BHTD[:, :, start:stop], scores_BHQK, bias_HQK, masked_QK
            )
        else:
            # a constant along a row cancels in the softmax, unless a sink takes part in it
            shiftable = tables.sink_H is None and tables.observe is None
            if isinstance(tables.bias, KeyBias) and shiftable:
                bias_HK = relative_to_last_key(tables.bias).to(scores_BHQK.dtype)
                scores_BHQK = scores_BHQK + bias_HK[..., None, :stop]
            elif tables.bias is not None:
                scores_BHQK = scores_BHQK + bias_rows(tables, tables.bias, start, stop)
            if own_B1QK is not None:
                masked_QK = masked_QK | ~own_B1QK
            scores_BHQK = scores_BHQK.masked_fill(masked_QK, -math.inf)
            weights_BHQK = softmax(scores_BHQK, tables.sink_H)
        if tables.observe is not None:
            if tables.attention_fn is not None and tables.bias is not None:
                scores_BHQK = scores_BHQK + bias_rows(tables, tables.bias, start, stop)
            own_qk = (q_BHTD[:, :, start:stop], k_BHTD[:, :, start:stop])
            keys_K = torch.arange(stop, device=q_BHTD.device)
            shown = (keys_K, ~masked_QK, scores_BHQK, weights_BHQK)
            tables.observe(AttentionRows(start, *own_qk, *shown))
        return weights_BHQK.to(v_BHTD.dtype) @ v_BHTD[:, :, :stop]

    return attend_range


def attend_key_groups(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: AttentionTables
) -> Callable[[int, int], Tensor]:
    """Kernel with one softmax over the scores of all key groups. Memory: queries times their keys.

    Each group has its own rotation of queries and keys.
    """
    rotated_qk = [
        (turned_queries(q_BHTD, tables, group.queries), turned_keys(k_BHTD, tables, group.keys))
        for group in tables.key_groups
    ]

    def attend_range(start: int, stop: int) -> Tensor:
        all_keys = []
        all_attended = []
        all_scores = []
        all_values = []
        queries_Q1 = torch.arange(start, stop, device=q_BHTD.device)[:, None]
        bias_HQK = None if tables.bias is None else bias_rows(tables, tables.bias, start, stop)
        for group, (q, k) in zip(tables.key_groups, rotated_qk, strict=True):
            begin = 0 if group.span is None else max(0, start - group.span + 1)
            end = stop if group.first is None else min(stop, group.first)
            keys_K = torch.arange(begin, max(begin, end), device=q_BHTD.device)
            attended_QK = group.mask_mod(queries_Q1, keys_K[None]) & (keys_K <= queries_Q1)
            own_B1QK = of_own_document(tables, slice(start, stop), slice(begin, max(begin, end)))
            if own_B1QK is not None:
                attended_QK = attended_QK & own_B1QK
            scores_BHQK = capped(scores(q[:, :, start:stop], k[:, :, begin:end]), tables.softcap)
            if bias_HQK is not None:
                scores_BHQK = scores_BHQK + bias_HQK[..., begin:end]
            all_keys.append(keys_K)
            all_attended.append(attended_QK)
            all_scores.append(scores_BHQK.masked_fill(~attended_QK, -math.inf))
            all_values.append(v_BHTD[:, :, begin:end])
        scores_BHQK = torch.cat(all_scores, dim=-1)
        weights_BHQK = softmax(scores_BHQK, tables.sink_H)
        if tables.observe is not None:
            q, k = rotated_qk[0]
            own_qk = (q[:, :, start:stop], k[:, :, start:stop])
            keys_K = torch.cat(all_keys)
            shown = (keys_K, torch.cat(all_attended, dim=-1), scores_BHQK, weights_BHQK)
            tables.observe(AttentionRows(start, *own_qk, *shown))
        return weights_BHQK.to(v_BHTD.dtype) @ torch.cat(all_values, dim=2)

    return attend_range


def of_own_document(tables: AttentionTables, queries: slice, keys: slice) -> Tensor | None:
    """Return whether keys are of the document of queries, (B, 1, Q, K); None without documents."""
    documents_BT = tables.documents_BT
    if documents_BT is None:
        return None
    return documents_BT[:, None, queries, None] == documents_BT[:, None, None, keys]
