"""Causal attention. The path follows from what the scheme returned, the length and the device, never from a name.

Short contexts on a CPU: explicit scores, which compile into fewer passes over memory than the fused kernel's backward.
Otherwise torch's fused causal attention, memory linear in length; a bias that depends on the key alone is folded into
extra head dimensions of it, exact under softmax. Any other bias: explicit scores while all of them fit, then a chunk of
queries at a time, memory linear in length.

Shape suffixes: B batch, H heads, T tokens, D head_dim, R rotated pairs, Q queries, K keys, P parts.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from posext.pe.base import DistanceBias, KeyBias, PairBias, Rotation, Tables

EXPLICIT_LENGTH = 256  # up to here explicit scores win on a CPU
DENSE_LENGTH = 1024  # up to here a bias that is not of the key alone is one matrix for all layers
CHUNK = 128  # queries at a time beyond


class DenseBias(NamedTuple):
    """Any bias, written out: float32 (H, T, T)."""

    values_HQK: Tensor


class PlacedBias(NamedTuple):
    """A bias of pairs with the positions that it is asked at."""

    bias: PairBias
    positions_T: Tensor


class Order(NamedTuple):
    """A scheme's tables, made ready for the layers."""

    rotation: Rotation | None
    bias: KeyBias | DistanceBias | PlacedBias | DenseBias | None


def prepare(tables: Tables, positions_T: Tensor) -> Order:
    """What all layers share, made once: a bias that is not of the key alone is written out, or given its positions."""
    bias = PlacedBias(tables.bias, positions_T) if isinstance(tables.bias, PairBias) else tables.bias
    if not isinstance(bias, DistanceBias | PlacedBias) or len(positions_T) > DENSE_LENGTH:
        return Order(tables.rotation, bias)
    return Order(tables.rotation, DenseBias(rows(bias, 0, len(positions_T))))


def rows(bias: DistanceBias | PlacedBias, start: int, stop: int) -> Tensor:
    """The bias of the queries `start` to `stop` and all keys up to there: float32 (H, stop - start, stop)."""
    if isinstance(bias, DistanceBias):
        keys_K = torch.arange(stop, device=bias.values_HT.device)
        return bias.values_HT[:, (keys_K[start:, None] - keys_K).clamp(min=0)]
    with torch.autocast(bias.positions_T.device.type, enabled=False):
        return bias.bias.rows(bias.positions_T[start:stop], bias.positions_T[:stop])


def rotate(x_BHTD: Tensor, rotation: Rotation, exponent: int) -> Tensor:
    """Turn the half-split pairs (i, i + R) of the first 2 R dimensions, times gain^exponent.

    Computed in float32, returned in the dtype that came in.
    """
    cos_TR, sin_TR, gain_TR = rotation
    if gain_TR is not None:
        cos_TR, sin_TR = cos_TR * gain_TR**exponent, sin_TR * gain_TR**exponent
    pairs = cos_TR.shape[-1]
    first, second, rest = x_BHTD.float().split((pairs, pairs, x_BHTD.shape[-1] - 2 * pairs), dim=-1)
    turned = (first * cos_TR - second * sin_TR, second * cos_TR + first * sin_TR, rest)
    return torch.cat(turned if rest.shape[-1] else turned[:2], dim=-1).to(x_BHTD.dtype)


def attend(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, order: Order) -> Tensor:
    """Causal attention of every token to itself and those before it: (B, H, T, D), logits scaled by 1/sqrt(D)."""
    rotation, bias = order
    if rotation is not None:
        q_BHTD, k_BHTD = rotate(q_BHTD, rotation, 1), rotate(k_BHTD, rotation, -1)
    on_cpu = q_BHTD.device.type == "cpu"
    if isinstance(bias, DenseBias):
        return explicit(q_BHTD, k_BHTD, v_BHTD, bias)
    if on_cpu and q_BHTD.shape[2] <= EXPLICIT_LENGTH and not isinstance(bias, DistanceBias | PlacedBias):
        return explicit(q_BHTD, k_BHTD, v_BHTD, bias)
    dtype = torch.float32 if on_cpu else v_BHTD.dtype  # no slower on a CPU, and more precise
    with torch.autocast(q_BHTD.device.type, enabled=False):
        qkv = (q_BHTD.to(dtype), k_BHTD.to(dtype), v_BHTD.to(dtype))
        if bias is None:
            attended = F.scaled_dot_product_attention(*qkv, is_causal=True)
        else:
            attended = folded(*qkv, bias) if isinstance(bias, KeyBias) else chunked(*qkv, bias)
        return attended.to(v_BHTD.dtype)


def explicit(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, bias: KeyBias | DenseBias | None, start: int = 0
) -> Tensor:
    """All scores at once, softmax in float32; the queries are those from `start` on. Memory: queries times keys."""
    scores = (q_BHTD @ k_BHTD.transpose(-1, -2)).float() * q_BHTD.shape[-1] ** -0.5
    if isinstance(bias, KeyBias):
        scores = scores + from_the_end(bias).float()[..., None, :]
    elif bias is not None:
        scores = scores + bias.values_HQK
    mask_QK = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q_BHTD.device).triu(start + 1)
    return scores.masked_fill(mask_QK, -math.inf).softmax(dim=-1).to(v_BHTD.dtype) @ v_BHTD


def chunked(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, bias: DistanceBias | PlacedBias) -> Tensor:
    """Explicit scores of a chunk of queries at a time, without the keys after it. Memory: chunk times keys."""
    length, attended = q_BHTD.shape[2], []
    for start in reversed(range(0, length, CHUNK)):  # the largest first: what it frees, the others fit in
        stop = min(start + CHUNK, length)
        part = DenseBias(rows(bias, start, stop))
        attended.append(explicit(q_BHTD[:, :, start:stop], k_BHTD[:, :, :stop], v_BHTD[:, :, :stop], part, start))
    return torch.cat(attended[::-1], dim=2)


def folded(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, bias: KeyBias) -> Tensor:
    """A bias of the key alone, as extra head dimensions: queries carry ones, keys the bias in parts that sum to it."""
    batch, heads, length, dim = q_BHTD.shape
    parts_HKP = split(from_the_end(bias) * math.sqrt(dim), q_BHTD.dtype)
    room = -(dim + parts_HKP.shape[-1]) % 8 + parts_HKP.shape[-1]  # fused kernels want a multiple of 8
    ones = F.pad(torch.ones_like(parts_HKP), (0, room - parts_HKP.shape[-1])).expand(batch, heads, length, room)
    parts = F.pad(parts_HKP, (0, room - parts_HKP.shape[-1])).expand(batch, heads, length, room)
    attended = F.scaled_dot_product_attention(
        torch.cat((q_BHTD, ones), dim=-1),
        torch.cat((k_BHTD, parts), dim=-1),
        F.pad(v_BHTD, (0, room)),
        is_causal=True,
        scale=dim**-0.5,
    )
    return attended[..., :dim]


def from_the_end(bias: KeyBias) -> Tensor:
    """The bias relative to the last key (the same under softmax): small, so precise, where contexts are longest."""
    return bias.values_HK - bias.values_HK[..., -1:]


def split(values_HK: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 values as parts (H, K, P) of `dtype` whose sum has the precision of float32 or better."""
    parts = []
    for _ in range(2 if dtype == torch.float32 else 3):
        parts.append(values_HK.to(dtype))
        values_HK = values_HK - parts[-1].double()
    return torch.stack(parts, dim=-1)
