"""Partial rotary position embedding."""

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError
from posext.utils.ranges import Base, PositiveShare


class Partial(RoPE):
    """Rotates the first dimensions of a head only; the others carry no position.

    floor(share d) dimensions are rotated, with inverse frequencies base^(-2i / (share d)) (Black et
    al. 2022, GPT-NeoX-20B, a quarter).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        share: Share of the dimensions that is rotated.

    Raises:
        PosextError: The share is not an even number of at least two dimensions.
    """

    paper = "arXiv:2204.06745"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, share: PositiveShare = 0.25):
        super().__init__(shape, base=base)
        self.rotary_dim = int(share * shape.head_dim)
        if self.rotary_dim < 2 or self.rotary_dim % 2:
            raise PosextError(
                f"share={share} of a head_dim of {shape.head_dim} "
                "is not an even number of dimensions"
            )

    def inv_freq(self, base: float) -> Tensor:
        return base ** (-torch.arange(0, self.rotary_dim, 2, dtype=torch.float64) / self.rotary_dim)
