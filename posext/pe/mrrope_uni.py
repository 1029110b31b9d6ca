"""MrRoPE-Uni: YaRN with a geometric ramp."""

from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.yarn import YaRN


class MrRoPEUni(YaRN):
    """theta'_i = theta_i / s^e_i: between YaRN's ends the exponent grows by the same step from pair to pair.

    e_i = q / n for the q-th of the n pairs of the ramp, which is YaRN's ramp itself, and YaRN's temperature. MrRoPE, 2026,
    https://github.com/mattian7/mrRoPE (`yarn_radix`). Class Z. Raises PosextError as YaRN does.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        factor: float | Literal["auto"] = "auto",
        beta_fast: float | Literal["auto"] = 32.0,
        beta_slow: float = 1.0,
        attention_factor: float | Literal["auto"] = "auto",
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
        return self.inv_freq(self.base) / self.scale(length) ** self.exponents(), self.temperature(
            length
        )

    def exponents(self) -> Tensor:
        """The power of s that divides each pair's frequency, 0 to 1: float64 (R,)."""
        return self.ramp()
