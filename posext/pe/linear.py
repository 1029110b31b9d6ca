"""Position interpolation."""

from torch import Tensor

from posext.pe.scaling import ScaledRoPE


class Linear(ScaledRoPE):
    """theta'_i = theta_i / s: every position is divided by s (Chen et al. 2023, arXiv:2306.15595, equation 4).

    Class P.
    """

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) / self.scale(length), 1.0
