"""The scaling of Llama 3.1."""

from typing import Literal

from posext.pe.base import Shape
from posext.pe.ntk_by_parts import NTKByParts
from posext.utils.errors import PosextError


class Llama3(NTKByParts):
    """Wavelengths below L / high_freq_factor stay, above L / low_freq_factor are multiplied by s, smooth in L / wavelength.

    Llama team 2024, arXiv:2407.21783, and its released code: interpolation by parts with other bounds. Class P.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        factor: float | Literal["auto"] = "auto",
        low_freq_factor: float = 1.0,
        high_freq_factor: float = 4.0,
    ):
        if not 0 < low_freq_factor < high_freq_factor:
            raise PosextError(
                f"high_freq_factor must exceed low_freq_factor, and both 0: got {high_freq_factor} and {low_freq_factor}"
            )
        super().__init__(
            shape, base=base, factor=factor, beta_fast=high_freq_factor, beta_slow=low_freq_factor
        )
