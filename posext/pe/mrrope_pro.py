"""MrRoPE-Pro: YaRN with a ramp that steepens."""

from torch import Tensor

from posext.pe.mrrope_uni import MrRoPEUni


class MrRoPEPro(MrRoPEUni):
    """Slows rotary pairs as YaRN does, by an exponent of s with growing steps from pair to pair.

    theta'_i = theta_i / s^e_i with e_i = q (q + 1) / (n (n + 1)) for the q-th of the n pairs of
    YaRN's ramp (MrRoPE, 2026; `yarn_radix3` in the authors' code, their current method). Settings
    and errors are those of `MrRoPEUni`.
    """

    paper = "github.com/mattian7/mrRoPE"
    stages = frozenset({"zero-shot"})

    def exponents(self) -> Tensor:
        low, high = self.ramp_ends()
        ramp_R = self.ramp()
        pairs = high - low
        return ramp_R * (ramp_R * pairs + 1) / (pairs + 1)
