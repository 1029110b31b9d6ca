"""MrRoPE-Pro: YaRN with a ramp that steepens."""

from torch import Tensor

from posext.pe.mrrope_uni import MrRoPEUni


class MrRoPEPro(MrRoPEUni):
    """theta'_i = theta_i / s^e_i: between YaRN's ends the step of the exponent grows from pair to pair.

    e_i = q (q + 1) / (n (n + 1)) for the q-th of the n pairs of the ramp. MrRoPE, 2026,
    https://github.com/mattian7/mrRoPE (`yarn_radix3`, the method in use there). Class Z. Raises PosextError as YaRN does.
    """

    def exponents(self) -> Tensor:
        low, high = self.ramp_ends()
        ramp_R = self.ramp()
        pairs = high - low
        return ramp_R * (ramp_R * pairs + 1) / (pairs + 1)
