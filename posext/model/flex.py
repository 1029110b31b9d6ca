"""FlexAttention: fused attention on a GPU under a bias by table, windows, sinks and document masks.

It takes the place of dense scores, with memory linear in the length. A bias is read from a table
in the kernel, where learned tables get their gradients; a window skips the blocks of keys that it
hides. Each key group is a pass of its own, and the passes join by their log-sum-exp.

Shape suffixes: B batch, H heads, T tokens, D head_dim, Q queries, K keys, L distances, P passes.
"""

import logging
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, flex_attention

from posext.model.block_mask import BLOCK, block_mask
from posext.model.fused import relative_to_last_key
from posext.model.queries_and_keys import turned_keys, turned_queries
from posext.pe.tables import (
    AttentionTables,
    DenseBias,
    DistanceBias,
    KeyBias,
    KeyGroup,
    PairBias,
)
from posext.utils.compiling import compile_error

# The least head dimension of torch's kernels.
LEAST_HEAD_DIM = 16
# The shortest context for it: torch has other kernels for fewer queries than a block.
LEAST_LENGTH = BLOCK
# The largest full matrix that is made of a bias by pair; longer contexts go by chunks of queries.
PAIR_BIAS_BYTES = 2**30
# Options of the forward kernel for a bias by pair. A tile of it, 64 KiB in float32, waits in shared
# memory for each stage but one; at torch's three stages and a head of 64 that is 240 KiB of 227.
FEWER_STAGES = {"fwd_num_stages": 2}
# Compiled versions that are kept: one for each table's shape, window, length and batch.
VERSIONS = 1024

log = logging.getLogger(__name__)

# Maps (batch, head, query, key), indices, to a term of the score.
Term = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
# Maps (score, batch, head, query, key) to the score as changed.
ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


@lru_cache
def available(device: torch.device) -> bool:
    """Return whether the kernels run on a device: a GPU for which this machine can compile."""
    if device.type != "cuda":
        return False
    error = compile_error(device.type)
    if error is not None:
        log.warning(
            "this machine cannot compile (%s), so biases by distance and windows take dense "
            "scores, which are slower",
            error,
        )
    return error is None


def expresses(tables: AttentionTables, q_BHTD: Tensor, v_BHTD: Tensor) -> bool:
    """Return whether the kernels compute what the tables declare.

    Scores must be products and weights their softmax; a bias by pair must fit as a matrix.
    """
    if tables.score_rows is not None or tables.attention_fn is not None:
        return False
    _, heads, length, _ = q_BHTD.shape
    fits = not isinstance(tables.bias, PairBias) or heads * length**2 * 4 <= PAIR_BIAS_BYTES
    wide = min(q_BHTD.shape[-1], v_BHTD.shape[-1]) >= LEAST_HEAD_DIM
    return fits and wide and not loses_gradients(tables)


def loses_gradients(tables: AttentionTables) -> bool:
    """Return whether torch's backward kernel may get the gradient of the bias wrong.

    Seen on a GPU with torch 2.11: what T5 and FoX learn under a window and a sink has wrong
    gradients at 300 tokens and right ones at 128; T5 alone is right at both. Two causes are
    possible, a last block that is not whole (pytorch issue 153799) and gradients that come through
    a log-sum-exp, so neither is taken with a bias that learns.
    """
    learns = isinstance(tables.bias, PairBias) or (
        tables.bias is not None and tables.bias[0].requires_grad
    )
    whole = len(tables.positions_T) % BLOCK == 0
    return torch.is_grad_enabled() and learns and (joins_passes(tables) or not whole)


def joins_passes(tables: AttentionTables) -> bool:
    """Return whether passes join by their log-sum-exp: those of several key groups, or a sink."""
    return len(tables.key_groups) > 1 or tables.sink_H is not None


def with_block_masks(tables: AttentionTables) -> AttentionTables:
    """Add the block masks of the key groups, or the causal one."""
    positions_T = tables.positions_T
    masks = [group.mask_mod for group in tables.key_groups] or [None]
    made = (block_mask(mask, len(positions_T), positions_T.device) for mask in masks)
    return tables._replace(block_masks=tuple(made))


def attend_flex(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: AttentionTables) -> Tensor:
    """Causal attention, logits scaled by 1/sqrt(D), under tables that `expresses` takes.

    Args:
        q_BHTD: Queries before their rotation.
        k_BHTD: Keys before their rotation.
        v_BHTD: Values.
        tables: The layer's tables with block masks, and a bias by pair as a matrix.

    Returns:
        Attended values, (B, H, T, D).
    """
    groups: tuple[KeyGroup | None, ...] = tables.key_groups or (None,)
    joins = joins_passes(tables)
    options = FEWER_STAGES if isinstance(tables.bias, DistanceBias | DenseBias) else None
    score_mod = make_score_mod(tables, q_BHTD.shape[1])
    passes = []
    for group, mask in zip(groups, tables.block_masks, strict=True):
        q = turned_queries(q_BHTD, tables, group and group.queries)
        k = turned_keys(k_BHTD, tables, group and group.keys)
        request = AuxRequest(lse=True) if joins else None
        attended = kernel(q, k, v_BHTD, score_mod, mask, return_aux=request, kernel_options=options)
        passes.append(attended)
    if not joins:
        return passes[0]
    return join([out for out, _ in passes], [aux.lse for _, aux in passes], tables.sink_H)


def kernel(*arguments: Any, **options: Any) -> Any:
    """Call `flex_attention` compiled: as part of a compiled network, or else by itself.

    Alone it is compiled even where a network is made to run eagerly, as its eager form holds all
    scores.
    """
    if torch.compiler.is_compiling():
        return flex_attention(*arguments, **options)
    with torch.compiler.set_stance("default"):
        return compiled()(*arguments, **options)


@lru_cache
def compiled() -> Callable[..., Any]:
    """Return `flex_attention`, to be compiled for each shape that it meets.

    As one graph: beyond the versions that torch keeps, it fails rather than hold all scores.
    """
    dynamo = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, VERSIONS)
    dynamo.accumulated_recompile_limit = max(dynamo.accumulated_recompile_limit, VERSIONS)
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)


def join(outs: list[Tensor], lses: list[Tensor], sink_H: Tensor | None) -> Tensor:
    """Return one softmax over the keys of all passes, and a sink.

    Args:
        outs: Attended values of each pass, (B, H, T, D).
        lses: Log-sum-exp of the scores of each pass, float32 (B, H, T); minus infinity for a query
            without keys.
        sink_H: Logit that has no value; None for none.
    """
    if sink_H is not None:
        lses = [*lses, sink_H[:, None].to(lses[0]).expand_as(lses[0])]
    shares_PBHT = torch.stack(lses).softmax(dim=0)
    joined_BHTD = sum(
        out * share_BHT[..., None] for out, share_BHT in zip(outs, shares_PBHT, strict=False)
    )
    assert isinstance(joined_BHTD, Tensor)
    return joined_BHTD.to(outs[0].dtype)


def make_score_mod(tables: AttentionTables, heads: int) -> ScoreMod | None:
    """Return the map of scores that the tables declare: cap, bias, documents; None for none.

    Whatever it captures is a whole table, as torch's kernels take no captured scalars.
    """
    term = bias_term(tables)
    documents_BT = tables.documents_BT
    cap_H = None
    if tables.softcap is not None:
        cap_H = torch.full((heads,), tables.softcap, device=tables.positions_T.device)
    if term is None and documents_BT is None and cap_H is None:
        return None

    def score_mod(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if cap_H is not None:
            score = cap_H[head] * torch.tanh(score / cap_H[head])
        if term is not None:
            score = score + term(batch, head, query, key)
        if documents_BT is not None:
            is_own = documents_BT[batch, query] == documents_BT[batch, key]
            score = torch.where(is_own, score, -math.inf)
        return score

    return score_mod


def bias_term(tables: AttentionTables) -> Term | None:
    """Return the bias of a query and a key, read from its table; None without a bias.

    A table that takes gradients is read once, which is all that torch's backward kernel can do.
    """
    bias = tables.bias
    if bias is None:
        return None
    if isinstance(bias, KeyBias):
        return key_bias_term(bias, with_sink=tables.sink_H is not None)
    if isinstance(bias, DistanceBias):
        return distance_bias_term(bias, tables.positions_T)
    assert isinstance(bias, DenseBias)
    values_HQK = bias.values_HQK.contiguous()
    return lambda batch, head, query, key: values_HQK[head, query, key]


def distance_bias_term(bias: DistanceBias, positions_T: Tensor) -> Term:
    """Return the bias by distance; distances of whole positions may be any."""
    values_HL = bias.values_HL
    if values_HL.shape[1] == len(positions_T):  # so positions are consecutive
        return lambda batch, head, query, key: values_HL[head, (query - key).clamp(min=0)]

    def term(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return values_HL[head, (positions_T[query] - positions_T[key]).clamp(min=0)]

    return term


def key_bias_term(bias: KeyBias, with_sink: bool) -> Term:
    """Return the bias of a key relative to that of the query's own key.

    Each value is two numbers in float32, so differences of large values are precise. What a query
    subtracts cancels in the softmax, unless a sink takes part: only then has it a gradient.
    """
    exact = relative_to_last_key(bias)
    coarse = exact.float()
    fine = (exact - coarse.double()).float().detach()
    query_coarse = coarse.clone() if with_sink else coarse.detach().clone()

    if exact.ndim == 3:

        def by_content(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            difference = coarse[batch, head, key] - query_coarse[batch, head, query]
            return difference + (fine[batch, head, key] - fine[batch, head, query])

        return by_content

    def term(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        difference = coarse[head, key] - query_coarse[head, query]
        return difference + (fine[head, key] - fine[head, query])

    return term
