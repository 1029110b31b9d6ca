"""NTK-aware interpolation whose factor follows the context."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.rope import RoPE


class DynamicNTK(RoPE):
    """NTK-aware scaling with s = max(1, L / original_length), a function of the context length L and nothing else.

    `semantics="paper"`: emozilla 2023; Peng et al. 2023, arXiv:2309.00071, section 3.3.
    `semantics="hf"`: transformers' form, s = factor L / original - (factor - 1); the two agree for factor = 1 only.
    Raises ValueError for a factor other than 1 with the paper's semantics, which has none.
    """

    length_dependent = True

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        semantics: Literal["paper", "hf"] = "paper",
        factor: float = 1.0,
    ):
        super().__init__(shape, base=base)
        if not 1 <= factor < float("inf"):
            raise ValueError(f"factor must be a finite number of at least 1, not {factor}")
        if semantics == "paper" and factor != 1:
            raise ValueError(f"semantics=paper has no factor, so factor={factor} would do nothing; use semantics=hf")
        self.hf_factor = factor

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        d, ratio = self.shape.head_dim, max(1.0, length / self.shape.original_length)
        s = self.hf_factor * ratio - (self.hf_factor - 1)
        return self.inv_freq(self.base * s ** (d / (d - 2))), 1.0
