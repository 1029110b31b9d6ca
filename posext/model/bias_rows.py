"""The bias of some queries for all keys before them, as a dense matrix.

Shape suffixes: H heads, Q queries, K keys, L distances.
"""

import torch
from torch import Tensor

from posext.pe.tables import AttentionTables, DenseBias, DistanceBias, KeyBias, PairBias


def bias_rows(
    tables: AttentionTables,
    bias: KeyBias | DistanceBias | PairBias | DenseBias,
    start: int,
    stop: int,
) -> Tensor:
    """Return the bias of queries `start` to `stop` for all keys before `stop`.

    The shape is (H, stop - start, stop). A key bias is taken relative to the query's own key.
    """
    if isinstance(bias, KeyBias):
        return (bias.values_HK[..., None, :stop] - bias.values_HK[..., start:stop, None]).float()
    if isinstance(bias, DenseBias):
        return bias.values_HQK[:, start:stop, :stop]
    positions_Q = tables.positions_T[start:stop]
    positions_K = tables.positions_T[:stop]
    if isinstance(bias, DistanceBias):
        return bias.values_HL[:, (positions_Q[:, None] - positions_K).clamp(min=0)]
    with torch.autocast(positions_K.device.type, enabled=False):
        return bias.rows(positions_Q, positions_K)
