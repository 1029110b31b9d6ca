"""Position interpolation."""

from typing import Any

from torch import Tensor

from posext.pe.scaling import ScaledRoPE


class Linear(ScaledRoPE):
    """theta'_i = theta_i / s: every position is divided by s (Chen et al. 2023, arXiv:2306.15595, equation 4).

    Class P.
    """

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) / self.scale(length), 1.0

    def llama_settings(self) -> dict[str, Any]:
        factor = self.scale(self.trained_length)
        return {
            "rope_parameters": {"rope_type": "linear", "rope_theta": self.base, "factor": factor}
        }
