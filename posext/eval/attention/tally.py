"""Sums of what an observer sees of a batch of windows, layer by layer.

Shape suffixes: B batch, T tokens, C model width, H heads, Q queries, X heads, rotary pairs or 1.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from posext.eval.attention.rows import (
    from_query,
    largest_logit,
    on_first_token,
    pair_norms,
    row_numbers,
)
from posext.model.queries_and_keys import logit_multiplier
from posext.pe.tables import AttentionRows, AttentionTables

SINK = "sink"
LARGEST_LOGIT = "largest_logit"
LOGIT_MULTIPLIER = "logit_multiplier"
QUERY_NORM, KEY_NORM = OF_PAIRS = ("query_norm", "key_norm")
HIDDEN_NORM = "hidden_norm"
HIDDEN_COSINE = "hidden_cosine"
HIDDEN_SUM = "hidden_sum"


class Tally:
    """Observer of a batch of windows that sums over the queries from `first` on.

    Args:
        first: Index of the first query that counts, except for the weight on the first token,
            SINK, which is of all queries (Gu et al. 2024, arXiv:2410.10781, equation of alpha).
        means: For each layer the hidden state (C,) to compare others with; None: sum them up.

    Attributes:
        totals: Sums by number and layer, float64 (B, X): X is rotary pairs for OF_PAIRS, 1 for the
            norm and the cosine of hidden states, the model width for their sum, else heads.
            LARGEST_LOGIT is a maximum.
        counts: How many queries are in each sum, likewise; none for LARGEST_LOGIT.
    """

    def __init__(self, first: int, means: Mapping[int, np.ndarray] | None = None):
        self.first = first
        self.means = means
        self.totals: dict[tuple[str, int], Tensor] = {}
        self.counts: dict[tuple[str, int], Tensor] = {}

    def add(self, name: str, layer: int, values_BXQ: Tensor) -> None:
        """Add numbers by query; nan ones do not count."""
        key = (name, layer)
        total_BX = values_BXQ.nansum(-1, dtype=torch.float64)
        count_BX = (~values_BXQ.isnan()).sum(-1)
        self.totals[key] = self.totals.get(key, 0) + total_BX
        self.counts[key] = self.counts.get(key, 0) + count_BX

    def attention(self, layer: int, tables: AttentionTables, rows: AttentionRows) -> None:
        self.add(SINK, layer, on_first_token(rows))
        counted = from_query(rows, self.first)
        if counted is None:
            return
        for name, values_BHQ in row_numbers(counted).items():
            self.add(name, layer, values_BHQ)
        key = (LARGEST_LOGIT, layer)
        largest_BH = largest_logit(counted).double()
        self.totals[key] = largest_BH.maximum(self.totals.get(key, largest_BH))
        queries = slice(counted.start, counted.start + counted.q_BHQD.shape[2])
        multiplier_Q = logit_multiplier(tables)[..., queries]
        self.add(LOGIT_MULTIPLIER, layer, multiplier_Q.expand(counted.q_BHQD.shape[:3]))
        if tables.rotation is not None:
            pairs = tables.rotation.cos_TR.shape[-1]
            self.add(QUERY_NORM, layer, pair_norms(counted.q_BHQD, pairs))
            self.add(KEY_NORM, layer, pair_norms(counted.k_BHQD, pairs))

    def hidden(self, layer: int, x_BTC: Tensor) -> None:
        counted_BQC = x_BTC[:, self.first :].float()
        self.add(HIDDEN_NORM, layer, counted_BQC.norm(dim=-1)[:, None])
        if self.means is None:
            self.add(HIDDEN_SUM, layer, counted_BQC.transpose(1, 2))
        else:
            mean_C = torch.from_numpy(self.means[layer]).to(counted_BQC)
            cosine_BQ = F.cosine_similarity(counted_BQC, mean_C, dim=-1)
            self.add(HIDDEN_COSINE, layer, cosine_BQ[:, None])
