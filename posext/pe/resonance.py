"""Wavelengths of whole tokens."""

import math

from torch import Tensor

from posext.pe.rope import RoPE


class Resonance(RoPE):
    """theta'_i = 2 pi / round(2 pi / theta_i): every pair repeats after a whole number of tokens.

    Positions past the training length then meet no phase that training has not, in the pairs that turn within it.
    Wang et al. 2024, arXiv:2403.00071, equation 8. Class T, Z.
    """

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        wavelengths_R = 2 * math.pi / self.inv_freq(self.base)
        return 2 * math.pi / wavelengths_R.round(), 1.0
