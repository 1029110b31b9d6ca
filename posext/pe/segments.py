"""Segments of a text, such as sentences: their numbers, and the places of tokens in them."""

import torch
from torch import Tensor

from posext.pe.base import AttentionTables, KeyBias, Rotation


def segment_numbers(ends_BT: Tensor) -> Tensor:
    """Return the number of each token's segment, from 0 on: int64 (B, T).

    Args:
        ends_BT: Whether a token ends a segment, whose last part it is.
    """
    ends_BT = ends_BT.long()
    return ends_BT.cumsum(-1) - ends_BT


def places_in(segments_BT: Tensor) -> Tensor:
    """Return the place of each token in its segment, from 0 on: int64 (B, T), or (T,) for (T,)."""
    indices_T = torch.arange(segments_BT.shape[-1], device=segments_BT.device)
    is_first_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    is_first_BT[..., 1:] = segments_BT[..., 1:] != segments_BT[..., :-1]
    starts_BT = torch.where(is_first_BT, indices_T, 0).cummax(-1).values
    return indices_T - starts_BT


def by_context(tables: AttentionTables, heads: int, length: int) -> AttentionTables:
    """Split tables of contexts that stand in a row, (.., B T, ..), by context: (B, H, T, ..).

    Args:
        tables: Their rotation is (B T, R), their bias one of keys, (H, B T); either may be None.
        heads: H.
        length: T.
    """
    if tables.rotation is not None:
        cos_BHTR, sin_BHTR = (
            table.view(-1, 1, length, table.shape[-1]).expand(-1, heads, -1, -1)
            for table in tables.rotation[:2]
        )
        tables = tables._replace(rotation=Rotation(cos_BHTR, sin_BHTR))
    if isinstance(tables.bias, KeyBias):
        values_BHT = tables.bias.values_HK.view(heads, -1, length).transpose(0, 1)
        tables = tables._replace(bias=KeyBias(values_BHT))
    return tables
