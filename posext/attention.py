"""Causal attention. The path follows from what the scheme returned, the length and the device, never from a name.

Short contexts on a CPU: explicit scores, which compile into fewer passes over memory than the fused kernel's backward.
Otherwise torch's fused causal attention, memory linear in length; a bias that depends on the key alone is folded into
extra head dimensions of it, exact under softmax.

Shape suffixes: B batch, H heads, T tokens, D head_dim, R rotated pairs, K keys, P parts.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from posext.pe.base import KeyBias, Rotation, Tables

EXPLICIT_LENGTH = 256  # up to here explicit scores win on a CPU


def rotate(x_BHTD: Tensor, rotation: Rotation) -> Tensor:
    """Turn the half-split pairs (i, i + R) of the first 2 R dimensions; in float32, returned in the dtype that came in."""
    cos_TR, sin_TR = rotation
    pairs = cos_TR.shape[-1]
    first, second, rest = x_BHTD.float().split((pairs, pairs, x_BHTD.shape[-1] - 2 * pairs), dim=-1)
    turned = (first * cos_TR - second * sin_TR, second * cos_TR + first * sin_TR, rest)
    return torch.cat(turned if rest.shape[-1] else turned[:2], dim=-1).to(x_BHTD.dtype)


def attend(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, tables: Tables) -> Tensor:
    """Causal attention of every token to itself and those before it: (B, H, T, D), logits scaled by 1/sqrt(D)."""
    if tables.rotation is not None:
        q_BHTD, k_BHTD = rotate(q_BHTD, tables.rotation), rotate(k_BHTD, tables.rotation)
    if q_BHTD.device.type == "cpu" and q_BHTD.shape[2] <= EXPLICIT_LENGTH:
        return explicit(q_BHTD, k_BHTD, v_BHTD, tables.bias)
    dtype = torch.float32 if q_BHTD.device.type == "cpu" else v_BHTD.dtype  # no slower on a CPU, and more precise
    with torch.autocast(q_BHTD.device.type, enabled=False):
        qkv = (q_BHTD.to(dtype), k_BHTD.to(dtype), v_BHTD.to(dtype))
        if tables.bias is not None:
            return folded(*qkv, tables.bias).to(v_BHTD.dtype)
        return F.scaled_dot_product_attention(*qkv, is_causal=True).to(v_BHTD.dtype)


def explicit(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, bias: KeyBias | None) -> Tensor:
    """All scores at once, softmax in float32. Memory grows with the square of the length."""
    length = q_BHTD.shape[2]
    scores = (q_BHTD @ k_BHTD.transpose(-1, -2)).float() * q_BHTD.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + from_the_end(bias).float()[:, None, :]
    mask_TT = torch.ones(length, length, dtype=torch.bool, device=q_BHTD.device).triu(1)
    return scores.masked_fill(mask_TT, -math.inf).softmax(dim=-1).to(v_BHTD.dtype) @ v_BHTD


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
    return bias.values_HK - bias.values_HK[:, -1:]


def split(values_HK: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 values as parts (H, K, P) of `dtype` whose sum has the precision of float32 or better."""
    parts = []
    for _ in range(2 if dtype == torch.float32 else 3):
        parts.append(values_HK.to(dtype))
        values_HK = values_HK - parts[-1].double()
    return torch.stack(parts, dim=-1)
