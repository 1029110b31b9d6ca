"""Partial rotary: the first dimensions turn, the rest carry no position."""

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError


class Partial(RoPE):
    """The first floor(share d) dimensions of a head turn, with a spectrum of their own: base^(-2i / (share d)).

    Black et al. 2022, arXiv:2204.06745 (GPT-NeoX-20B, a quarter). Class T. Raises PosextError where that is not an even
    number of at least two dimensions.
    """

    def __init__(self, shape: Shape, *, base: float = 10000.0, share: float = 0.25):
        super().__init__(shape, base=base)
        self.rotary_dim = int(share * shape.head_dim) if 0 < share <= 1 else 0
        if self.rotary_dim < 2 or self.rotary_dim % 2:
            raise PosextError(
                f"share={share} of a head_dim of {shape.head_dim} is not an even number of dimensions"
            )

    def inv_freq(self, base: float) -> Tensor:
        return base ** (-torch.arange(0, self.rotary_dim, 2, dtype=torch.float64) / self.rotary_dim)
