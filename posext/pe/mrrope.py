"""YaRN with a geometric ramp."""

from torch import Tensor

from posext.pe.yarn import YaRN


class MrRoPE(YaRN):
    """theta'_i = theta_i / s^ramp_i, with YaRN's ramp over pairs and its temperature.

    MrRoPE-Pro, 2026, https://github.com/mattian7/mrRoPE. Class Z.
    """

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) / self.scale(length) ** self.ramp(), self.temperature(length)
