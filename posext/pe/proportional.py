"""p-RoPE: the slowest pairs carry no position."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError


class Proportional(ScaledRoPE):
    """The fastest share of the full spectrum turns, divided by s; the other pairs stand still and see content alone.

    Barbero et al. 2024, arXiv:2410.06205, section 6 (p-RoPE); "proportional" in transformers, with floor(share d / 2)
    pairs. Class T. Raises PosextError unless 0 < share <= 1.
    """

    rope_at_factor_one = False

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        factor: float | Literal["auto"] = 1.0,
        share: float = 0.75,
    ):
        super().__init__(shape, base=base, factor=factor)
        if not 0 < share <= 1:
            raise PosextError(f"share must lie above 0 and not above 1, not {share}")
        self.share, self.turning = share, int(share * shape.head_dim // 2)

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        turns_R = torch.arange(self.shape.head_dim // 2) < self.turning
        return self.inv_freq(self.base) / self.scale(length) * turns_R, 1.0
