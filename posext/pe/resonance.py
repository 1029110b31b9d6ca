"""Resonance RoPE: wavelengths of whole tokens."""

import math

from torch import Tensor

from posext.pe.rope import RoPE


class Resonance(RoPE):
    """Rounds the wavelength of every rotary pair to a whole number of tokens.

    theta'_i = 2 pi / round(2 pi / theta_i) (Wang et al. 2024, equation 8). In the pairs whose
    wavelength is within the training length, later positions then have trained phases only.
    Settings and errors are those of `RoPE`.
    """

    paper = "arXiv:2403.00071"
    stages = frozenset({"trained", "zero-shot"})

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        wavelengths_R = 2 * math.pi / self.inv_freq(self.base)
        return 2 * math.pi / wavelengths_R.round(), 1.0
