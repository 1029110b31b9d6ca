"""Norm, rotation, map and temperature of queries and keys, as the tables of a scheme say.

Shape suffixes: B batch, H heads, T tokens, D head_dim, R rotary pairs.
"""

import torch
from torch import Tensor

from posext.pe.tables import AttentionTables, QKNorm, Rotation


def apply_rotary(
    x_BHTD: Tensor, rotation: Rotation | None, exponent: int, gain_D: Tensor | None = None
) -> Tensor:
    """Rotate the half-split pairs (i, i + R) of the first 2 R dimensions.

    Args:
        x_BHTD: Queries or keys.
        rotation: cos and sin by position, with an optional gain; None: no rotation.
        exponent: Power of the rotation's gain: 1 for queries, -1 for keys.
        gain_D: Factor on the rotated dimensions.

    Returns:
        Rotated queries or keys, computed in at least float32, in the dtype of the input.
    """
    if rotation is None:
        return x_BHTD if gain_D is None else (wide(x_BHTD) * gain_D).to(x_BHTD.dtype)
    cos_TR = rotation.cos_TR
    sin_TR = rotation.sin_TR
    if rotation.gain_TR is not None:
        cos_TR = cos_TR * rotation.gain_TR**exponent
        sin_TR = sin_TR * rotation.gain_TR**exponent
    pairs = cos_TR.shape[-1]
    first, second, rest = wide(x_BHTD).split((pairs, pairs, x_BHTD.shape[-1] - 2 * pairs), dim=-1)
    pieces = [first * cos_TR - second * sin_TR, second * cos_TR + first * sin_TR]
    if rest.shape[-1]:
        pieces.append(rest)
    rotated_BHTD = torch.cat(pieces, dim=-1)
    if gain_D is not None:
        rotated_BHTD = rotated_BHTD * gain_D
    return rotated_BHTD.to(x_BHTD.dtype)


def normalize(x_BHTD: Tensor, norm: QKNorm | None, gain: Tensor | None) -> Tensor:
    """Divide queries or keys by their root mean square, and multiply them by a gain.

    Computed in at least float32, in the dtype of the input.
    """
    if norm is None:
        return x_BHTD
    wide_BHTD = wide(x_BHTD)
    dimensions = (1, 3) if norm.over_heads else (3,)
    mean_square = wide_BHTD.square().mean(dimensions, keepdim=True)
    unit_BHTD = wide_BHTD * (mean_square + norm.epsilon).rsqrt()
    return (unit_BHTD if gain is None else unit_BHTD * gain).to(x_BHTD.dtype)


def wide(x_BHTD: Tensor) -> Tensor:
    """Return queries or keys in at least float32."""
    return x_BHTD.to(torch.promote_types(x_BHTD.dtype, torch.float32))


def turned_queries(
    q_BHTD: Tensor, tables: AttentionTables, rotation: Rotation | None = None
) -> Tensor:
    """Normalize, rotate, map and scale queries; `rotation` replaces that of the tables."""
    norm = tables.qk_norm
    gain = None if norm is None else norm.query_gain
    turned = turned_by(q_BHTD, tables, rotation or tables.rotation, 1, gain)
    if tables.query_map is not None:
        turned = tables.query_map(turned)
    if tables.logit_scale is None:
        return turned
    return (wide(turned) * tables.logit_scale[..., None]).to(turned.dtype)


def turned_keys(
    k_BHTD: Tensor, tables: AttentionTables, rotation: Rotation | None = None
) -> Tensor:
    """Normalize, rotate and map keys; `rotation` replaces that of the tables."""
    norm = tables.qk_norm
    gain = None if norm is None else norm.key_gain
    turned = turned_by(k_BHTD, tables, rotation or tables.rotation, -1, gain)
    return turned if tables.key_map is None else tables.key_map(turned)


def turned_by(
    x_BHTD: Tensor,
    tables: AttentionTables,
    rotation: Rotation | None,
    exponent: int,
    norm_gain: Tensor | None,
) -> Tensor:
    """Rotate queries or keys, with the norm of the tables before or after."""
    norm = tables.qk_norm
    before, after = (None, norm) if norm is not None and norm.rotated else (norm, None)
    x_BHTD = normalize(x_BHTD, before, norm_gain)
    x_BHTD = apply_rotary(x_BHTD, rotation, exponent, tables.gain_D)
    return normalize(x_BHTD, after, norm_gain)


def logit_multiplier(tables: AttentionTables) -> Tensor:
    """Return the factor on the logits of each query beyond 1/sqrt(head_dim).

    It is the square of the factor on cos and sin, the mean over pairs, times the logit scale: (T,),
    (H, T) or (B, H, T).
    """
    multiplier_T = torch.ones(len(tables.positions_T), device=tables.positions_T.device)
    if tables.rotation is not None:
        squares_TR = tables.rotation.cos_TR**2 + tables.rotation.sin_TR**2
        multiplier_T = multiplier_T * squares_TR.mean(-1)
    return multiplier_T if tables.logit_scale is None else multiplier_T * tables.logit_scale
