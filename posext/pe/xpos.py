"""xPos: rotation with a decay by distance."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Rotation, Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError


class XPos(RoPE):
    """RoPE whose score is also multiplied by zeta_i^((n - m) / scale_base) in pair i, zeta_i = (2i + 0.4 d) / 1.4 d.

    Sun et al. 2022, arXiv:2212.10554, section 2.2 (gamma = 0.4, scale_base 512 at a training length of 1,024, so `auto` is
    half the original length). Queries take zeta^(n / scale_base), keys its inverse, with n counted from the middle of the
    context, as the product depends on n - m alone. The paper's blockwise attention is not part of it. Class T.
    Raises PosextError for a scale_base of 0 or less.
    """

    def __init__(
        self, shape: Shape, *, base: float = 10000.0, scale_base: float | Literal["auto"] = "auto"
    ):
        super().__init__(shape, base=base)
        self.scale_base = shape.original_length / 2 if scale_base == "auto" else float(scale_base)
        if not 0 < self.scale_base < float("inf"):
            raise PosextError(f"scale_base must be a number above 0, or auto, not {scale_base}")
        self.max_length = int(
            128 * self.scale_base
        )  # past it queries and keys leave the range of float32

    def rotation(self, positions_T: Tensor, length: int) -> Rotation:
        cos_TR, sin_TR, _ = super().rotation(positions_T, length)
        d = self.shape.head_dim
        zeta_R = (
            torch.arange(0, d, 2, dtype=torch.float64, device=positions_T.device) + 0.4 * d
        ) / (1.4 * d)
        exponents_T = (positions_T - (length - 1) / 2).double() / self.scale_base
        return Rotation(cos_TR, sin_TR, (zeta_R ** exponents_T[:, None]).float())
