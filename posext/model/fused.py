"""Torch's fused attention, memory linear in the length, and the key bias folded into it.

Shape suffixes: B batch, H heads, T tokens, D head_dim, K keys, P parts.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from posext.pe.tables import KeyBias

# Fused kernels need a head dimension divisible by this.
HEAD_DIM_MULTIPLE = 8


def promote(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cast queries, keys and values to the dtype of long contexts.

    It is at least float32 on a CPU, as fast there and more precise, and the dtype of the values
    elsewhere.
    """
    wide = torch.promote_types(v_BHTD.dtype, torch.float32)
    dtype = wide if v_BHTD.device.type == "cpu" else v_BHTD.dtype
    return q_BHTD.to(dtype), k_BHTD.to(dtype), v_BHTD.to(dtype)


def attend_fused(
    q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, scale: float | None = None
) -> Tensor:
    """Fused attention, scores times `scale`; None: 1/sqrt(D).

    Fast kernels need values as wide as keys, so narrower ones are padded.
    """
    missing = q_BHTD.shape[-1] - v_BHTD.shape[-1]
    padded = F.pad(v_BHTD, (0, missing)) if missing else v_BHTD
    attended = F.scaled_dot_product_attention(q_BHTD, k_BHTD, padded, is_causal=True, scale=scale)
    return attended[..., : v_BHTD.shape[-1]]


def attend_folded_bias(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, bias: KeyBias) -> Tensor:
    """Fused attention with a key bias in extra head dimensions.

    Queries hold ones there, keys hold the bias in parts that sum to it.
    """
    batch, heads, length, dim = q_BHTD.shape
    parts_HKP = split_mantissa(relative_to_last_key(bias) * math.sqrt(dim), q_BHTD.dtype)
    n_parts = parts_HKP.shape[-1]
    extra_dims = n_parts + -(dim + n_parts) % HEAD_DIM_MULTIPLE
    expanded = (batch, heads, length, extra_dims)
    ones = F.pad(torch.ones_like(parts_HKP), (0, extra_dims - n_parts)).expand(expanded)
    parts = F.pad(parts_HKP, (0, extra_dims - n_parts)).expand(expanded)
    q_BHTD = torch.cat((q_BHTD, ones), dim=-1)
    k_BHTD = torch.cat((k_BHTD, parts), dim=-1)
    return attend_fused(q_BHTD, k_BHTD, v_BHTD, dim**-0.5)


def relative_to_last_key(bias: KeyBias) -> Tensor:
    """Return the bias relative to the last key, which is the same under softmax.

    The values are small, and so precise, at the end of long contexts.
    """
    return bias.values_HK - bias.values_HK[..., -1:]


def split_mantissa(values_HK: Tensor, dtype: torch.dtype) -> Tensor:
    """Split float64 values into parts (H, K, P) of `dtype`.

    The sum of the parts has the precision of float32 or better.
    """
    parts = []
    for _ in range(2 if dtype == torch.float32 else 3):
        parts.append(values_HK.to(dtype))
        values_HK = values_HK - parts[-1].double()
    return torch.stack(parts, dim=-1)
