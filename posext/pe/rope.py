"""Rotary position embedding, the base class of its scalings."""

import hashlib
from typing import Any

import torch
from torch import Tensor

from posext.pe.base import PositionalEncoding, Rotation, Shape
from posext.utils.errors import PosextError
from posext.utils.ranges import Base


class RoPE(PositionalEncoding):
    """Rotates queries and keys by their position, so that logits depend on distances.

    Pair i rotates by the angle n theta_i at position n, with theta_i = base^(-2i/d) and half-split
    pairs (i, i + d/2) (Su et al. 2021, equations 14-15). Scalings override `frequencies`.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.

    Raises:
        PosextError: head_dim is odd.
    """

    paper = "arXiv:2104.09864"
    stages = frozenset({"trained"})
    inherited_settings = ("base",)
    family = "rotary"

    def __init__(self, shape: Shape, *, base: Base = 10000.0):
        super().__init__(shape)
        if shape.head_dim % 2:
            raise PosextError(f"rotary schemes need an even head_dim, not {shape.head_dim}")
        self.base = base

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        """Return the rotation of a context of `length` tokens.

        Returns:
            Inverse frequencies in radians per token, float64 (R,), and the factor on cos and sin.
        """
        return self.inv_freq(self.base), 1.0

    def inv_freq(self, base: float) -> Tensor:
        """Return base^(-2i/d) for every pair i: float64 (R,)."""
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
