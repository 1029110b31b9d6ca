"""HoPE: rotary pairs that turn a whole time within the training length, and no others."""

import math

from torch import Tensor

from posext.pe.rope import RoPE


class HoPE(RoPE):
    """Keeps a pair's frequency if its wavelength is at most the original length, else 0.

    theta_i if theta_i >= 2 pi / original_length (Chen et al. 2024): slow pairs, whose angles beyond
    the training length were never seen, carry no position. It is `proportional` with the share
    ln(original_length / 2 pi) / ln(base) of the pairs.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
    """

    paper = "arXiv:2410.21216"
    stages = frozenset({"trained"})

    def inv_freq(self, base: float) -> Tensor:
        inv_freq_R = super().inv_freq(base)
        return inv_freq_R * (inv_freq_R >= 2 * math.pi / self.shape.original_length)
