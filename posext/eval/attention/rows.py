"""Numbers of single attention rows, from the weights that attention really uses.

Weights of a row may sum to less than 1 (a sink, softpick, stick-breaking) or to any number
(sigmoid). Entropy and distance are those of the row divided by its sum; the sum stands beside them.

Shape suffixes: B batch, H heads, Q queries, K keys, D head_dim, R rotary pairs.
"""

import math

import torch
from torch import Tensor

from posext.pe.tables import AttentionRows

# Numbers of a row that are averaged over queries, in the order of tables.
ENTROPY, ENTROPY_SHARE, DISTANCE, FIRST_TOKEN, ROW_SUM = ROW_NUMBERS = (
    "entropy",
    "entropy_share",
    "distance",
    "first_token",
    "row_sum",
)


def from_query(rows: AttentionRows, first: int) -> AttentionRows | None:
    """Return the rows of the queries from `first` on; None without any."""
    skipped = max(0, first - rows.start)
    if skipped >= rows.q_BHQD.shape[2]:
        return None
    return AttentionRows(
        rows.start + skipped,
        rows.q_BHQD[:, :, skipped:],
        rows.k_BHQD[:, :, skipped:],
        rows.keys_K,
        rows.visible_QK[skipped:],
        rows.logits_BHQK[:, :, skipped:],
        rows.weights_BHQK[:, :, skipped:],
    )


def row_numbers(rows: AttentionRows) -> dict[str, Tensor]:
    """Return the ROW_NUMBERS of every query, each (B, H, Q); nan where undefined.

    Entropy is in nats, undefined for a row that sums to 0. Its share is that of ln n, where n is
    the number of visible keys, undefined for n = 1. The distance is the mean number of tokens from
    the query back to the keys, by weight. `first_token` is the weight on the first token of the
    context as it is, without a division.
    """
    weights_BHQK = rows.weights_BHQK
    sum_BHQ = weights_BHQK.sum(-1)
    shares_BHQK = weights_BHQK / sum_BHQ.masked_fill(sum_BHQ == 0, math.nan)[..., None]
    entropy_BHQ = torch.special.entr(shares_BHQK).sum(-1)
    n_visible_Q = rows.visible_QK.sum(-1)
    log_visible_Q = n_visible_Q.log().masked_fill(n_visible_Q < 2, math.nan)
    queries_Q = rows.start + torch.arange(len(n_visible_Q), device=rows.keys_K.device)
    distances_QK = (queries_Q[:, None] - rows.keys_K).to(shares_BHQK.dtype)
    distance_BHQ = (shares_BHQK * distances_QK).sum(-1)
    numbers = (entropy_BHQ, entropy_BHQ / log_visible_Q, distance_BHQ, on_first_token(rows))
    return dict(zip(ROW_NUMBERS, (*numbers, sum_BHQ), strict=True))


def on_first_token(rows: AttentionRows) -> Tensor:
    """Return the weight of each query on the first token of the context: (B, H, Q)."""
    return rows.weights_BHQK[..., rows.keys_K == 0].sum(-1)


def largest_logit(rows: AttentionRows) -> Tensor:
    """Return the largest logit of any query and visible key: (B, H)."""
    return rows.logits_BHQK.masked_fill(~rows.visible_QK, -math.inf).amax((-2, -1))


def pair_norms(x_BHQD: Tensor, pairs: int) -> Tensor:
    """Return the 2-norm of each half-split rotary pair (i, i + R), the mean over heads: (B, R, Q).

    Barbero et al. 2024 (arXiv:2410.06205, figure 3).
    """
    first, second = x_BHQD[..., : 2 * pairs].float().chunk(2, dim=-1)
    return (first.square() + second.square()).sqrt().mean(1).transpose(1, 2)
