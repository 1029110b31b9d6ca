"""MrRoPE-Uni: YaRN with a geometric ramp."""

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.yarn import YaRN
from posext.utils.ranges import AtLeastOne, Auto, Base, Positive


class MrRoPEUni(YaRN):
    """Slows rotary pairs as YaRN does, by an exponent of s with equal steps from pair to pair.

    theta'_i = theta_i / s^e_i with e_i = q / n for the q-th of the n pairs of YaRN's ramp, which is
    the ramp itself, and YaRN's attention factor (MrRoPE, 2026; `yarn_radix` in the authors' code).
    Settings and errors are those of `YaRN`.
    """

    paper = "github.com/mattian7/mrRoPE"
    stages = frozenset({"zero-shot"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        factor: AtLeastOne | Auto = "auto",
        beta_fast: Positive | Auto = 32.0,
        beta_slow: Positive = 1.0,
        attention_factor: Positive | Auto = "auto",
    ):
        super().__init__(
            shape,
            base=base,
            factor=factor,
            beta_fast=beta_fast,
            beta_slow=beta_slow,
            attention_factor=attention_factor,
        )

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        inv_freq_R = self.inv_freq(self.base) / self.scale(length) ** self.exponents()
        return inv_freq_R, self.temperature(length)

    def exponents(self) -> Tensor:
        """Return the power of s that divides each pair's frequency, 0 to 1: float64 (R,)."""
        return self.ramp()
