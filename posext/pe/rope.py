"""Rotary position embedding, and the seam at which every scaling of it is made."""

import hashlib
from typing import Any

import torch
from torch import Tensor

from posext.pe.base import PositionalEncoding, Rotation, Shape
from posext.utils.errors import PosextError


class RoPE(PositionalEncoding):
    """theta_i = base^(-2i/d): pair i of queries and keys turns by n theta_i at position n.

    Su et al. 2021, arXiv:2104.09864, equations 14-15, with half-split pairs (i, i + d/2). Scalings override `frequencies`.
    Class T. Raises PosextError for an odd head_dim or a base that is not above 1.
    """

    family = "rotary"
    inherited_settings = ("base",)

    def __init__(self, shape: Shape, *, base: float = 10000.0):
        super().__init__(shape)
        if shape.head_dim % 2:
            raise PosextError(f"rotary schemes need an even head_dim, not {shape.head_dim}")
        if not 1 < base < float("inf"):
            raise PosextError(f"base must be a number above 1, not {base}")
        self.base = base

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        """inv_freq (radians per token, float64 (R,)) and the factor on cos and sin, in a context of `length` tokens."""
        return self.inv_freq(self.base), 1.0

    def inv_freq(self, base: float) -> Tensor:
        """base^(-2i/d) for every pair i: float64 (R,)."""
        even = torch.arange(0, self.shape.head_dim, 2, dtype=torch.float64)
        return base ** (-even / self.shape.head_dim)

    def rotation(self, positions_T: Tensor, length: int) -> Rotation:
        inv_freq_R, attention_factor = self.frequencies(length)
        phases_TR = positions_T.double()[:, None] * inv_freq_R.to(positions_T.device)
        return Rotation(
            (phases_TR.cos() * attention_factor).float(),
            (phases_TR.sin() * attention_factor).float(),
        )

    def logit_factor(self, length: int) -> float:
        return self.frequencies(length)[1] ** 2

    def describe(self) -> dict[str, Any]:
        inv_freq_R, attention_factor = self.frequencies(self.trained_length)
        digest = hashlib.sha256(inv_freq_R.numpy().tobytes()).hexdigest()[:12]
        return {
            "inv_freq_sha256": digest,
            "attention_factor": attention_factor,
            "at_length": self.trained_length,
        }


def ntk_base(base: float, scale: float, head_dim: int) -> float:
    """The base that divides the slowest pair's frequency by `scale` and leaves the fastest: base scale^(d/(d-2)).

    Raises PosextError for a head_dim of 2, whose only pair is both.
    """
    if head_dim == 2:
        raise PosextError(
            "a change of base cannot scale a head_dim of 2: it has one pair, which turns once a token"
        )
    return base * scale ** (head_dim / (head_dim - 2))
