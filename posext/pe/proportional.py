"""p-RoPE: rotary positions without the slowest pairs."""

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.ranges import AtLeastOne, Auto, Base, PositiveShare


class Proportional(ScaledRoPE):
    """Rotates the fastest pairs only; the slowest pairs stand still and carry content alone.

    floor(share d / 2) pairs of the full spectrum are rotated, divided by s (Barbero et al. 2024,
    section 6, p-RoPE; "proportional" in transformers).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        share: Share of the pairs that is rotated.
    """

    paper = "arXiv:2410.06205"
    stages = frozenset({"trained"})
    rope_at_factor_one = False

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        factor: AtLeastOne | Auto = 1.0,
        share: PositiveShare = 0.75,
    ):
        super().__init__(shape, base=base, factor=factor)
        self.share = share
        self.rotated_pairs = int(share * shape.head_dim // 2)

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        is_rotated_R = torch.arange(self.shape.head_dim // 2) < self.rotated_pairs
        return self.inv_freq(self.base) / self.scale(length) * is_rotated_R, 1.0
