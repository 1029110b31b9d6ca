"""xPos: rotation with a decay by distance."""

import torch
from torch import Tensor

from posext.pe.base import Rotation, Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Auto, Base, Positive


class XPos(RoPE):
    """Rotates like RoPE and lowers the logit of a key with its distance, fast pairs most.

    The score of pair i is multiplied by zeta_i^((n - m) / scale_base) with
    zeta_i = (2i + 0.4 d) / 1.4 d (Sun et al. 2022, section 2.2, gamma = 0.4). Queries are
    multiplied by zeta^(n / scale_base) and keys divided by it, with n relative to the middle of the
    context, as the product depends on n - m alone. The paper's blockwise attention is not included.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        scale_base: Distance in tokens of one factor zeta; "auto": half the original length, as 512
            at a training length of 1,024 in the paper.
    """

    paper = "arXiv:2212.10554"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, scale_base: Positive | Auto = "auto"):
        super().__init__(shape, base=base)
        self.scale_base = shape.original_length / 2 if scale_base == "auto" else float(scale_base)
        # Beyond, queries and keys would leave the range of float32.
        self.max_length = int(128 * self.scale_base)

    def rotation(self, positions_T: Tensor, length: int) -> Rotation:
        cos_TR, sin_TR, _ = super().rotation(positions_T, length)
        d = self.shape.head_dim
        even_R = torch.arange(0, d, 2, dtype=torch.float64, device=positions_T.device)
        zeta_R = (even_R + 0.4 * d) / (1.4 * d)
        exponents_T = (positions_T - (length - 1) / 2).double() / self.scale_base
        return Rotation(cos_TR, sin_TR, (zeta_R ** exponents_T[:, None]).float())
