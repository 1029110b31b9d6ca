"""Position interpolation."""

from torch import Tensor

from posext.pe.scaling import ScaledRoPE


class Linear(ScaledRoPE):
    """Divides every position by s, so that long contexts keep to the trained range of positions.

    theta'_i = theta_i / s (Chen et al. 2023, equation 4).
    """

    paper = "arXiv:2306.15595"
    stages = frozenset({"fine-tuned"})

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) / self.scale(length), 1.0
