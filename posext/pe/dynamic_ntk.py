"""Dynamic NTK-aware interpolation."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.ntk import ntk_base
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastOne, Base


class DynamicNTK(RoPE):
    """Raises RoPE's base with the context length, beyond the original length.

    It is NTK-aware scaling with s = max(1, L / original_length), a function of the context length L
    alone (emozilla 2023; Peng et al. 2023, section 3.3).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies at s = 1.
        semantics: "paper" for the formula above; "hf" for transformers' form,
            s = f L / original_length - (f - 1) with f = hf_factor. They agree for f = 1 only.
        hf_factor: The factor f of the "hf" form.

    Raises:
        PosextError: hf_factor is not 1 with semantics="paper", or head_dim is 2.
    """

    paper = "arXiv:2309.00071"
    stages = frozenset({"zero-shot"})
    length_dependent = True

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        semantics: Literal["paper", "hf"] = "paper",
        hf_factor: AtLeastOne = 1.0,
    ):
        super().__init__(shape, base=base)
        if semantics == "paper" and hf_factor != 1:
            raise PosextError(
                f"semantics=paper has no factor, so hf_factor={hf_factor} would do nothing; "
                "use semantics=hf"
            )
        ntk_base(base, 1.0, shape.head_dim)  # raises for a head_dim of 2
        self.hf_factor = hf_factor

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        s = self.hf_factor * max(1.0, length / self.shape.original_length) - (self.hf_factor - 1)
        return self.inv_freq(ntk_base(self.base, s, self.shape.head_dim)), 1.0
