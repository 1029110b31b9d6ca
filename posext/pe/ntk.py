"""NTK-aware interpolation, by a change of base."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import ntk_base
from posext.pe.scaling import ScaledRoPE


class NTK(ScaledRoPE):
    """base' = base s^(d/(d-2)): the fastest pair keeps its speed, the slowest is divided by s exactly.

    bloc97 2023; Peng et al. 2023, arXiv:2309.00071, section 3.1, equations 9-10 (static form, "NTK-aware"). Class Z.
    Raises PosextError for a head_dim of 2, as `ntk_base` does.
    """

    def __init__(
        self, shape: Shape, *, base: float = 10000.0, factor: float | Literal["auto"] = "auto"
    ):
        super().__init__(shape, base=base, factor=factor)
        ntk_base(base, 1.0, shape.head_dim)  # refuses a head_dim of 2

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.scaled_base(length)), 1.0

    def scaled_base(self, length: int) -> float:
        return ntk_base(self.base, self.scale(length), self.shape.head_dim)
