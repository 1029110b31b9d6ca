"""YaRN: interpolation by parts, with an attention factor."""

import math
from typing import Literal

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.by_parts import ByParts
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastOne, Auto, Base, NonNegative, Positive


class YaRN(ByParts):
    """Keeps fast rotary pairs, divides slow ones by s, and sharpens attention a little.

    theta'_i = theta_i (1 - ramp_i (1 - 1/s)), and cos and sin are multiplied by 0.1 ln s + 1
    (Peng et al. 2023, equation 22).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        beta_fast: Pairs with more rotations within the original length stay as they are; "auto" as
            in `ByParts`.
        beta_slow: Pairs with fewer rotations within the original length are divided by s.
        truncate: Round the ends of the "index" ramp outwards to whole pairs.
        ramp: What the ramp is linear in, as in `ByParts`.
        attention_factor: Factor on cos and sin; "auto": 0.1 ln s + 1.
        mscale: With mscale_all_dim, DeepSeek's attention factor:
            (0.1 mscale ln s + 1) / (0.1 mscale_all_dim ln s + 1).
        mscale_all_dim: See mscale.

    Raises:
        PosextError: Unless beta_fast > beta_slow, or for settings that would have no effect.
    """

    paper = "arXiv:2309.00071"
    stages = frozenset({"fine-tuned", "zero-shot"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        factor: AtLeastOne | Auto = "auto",
        beta_fast: Positive | Auto = 32.0,
        beta_slow: Positive = 1.0,
        truncate: bool = True,
        ramp: Literal["index", "rotations"] = "index",
        attention_factor: Positive | Auto = "auto",
        mscale: NonNegative | None = None,
        mscale_all_dim: NonNegative | None = None,
    ):
        given = [value is not None for value in (mscale, mscale_all_dim)]
        if any(given) and not (all(given) and attention_factor == "auto"):
            raise PosextError("mscale and mscale_all_dim go together, and without attention_factor")
        ends = {"beta_fast": beta_fast, "beta_slow": beta_slow, "truncate": truncate}
        super().__init__(shape, base=base, factor=factor, ramp=ramp, **ends)
        self.attention_factor = attention_factor
        self.mscale = mscale or 1.0
        self.mscale_all_dim = mscale_all_dim or 0.0

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return super().frequencies(length)[0], self.temperature(length)

    def temperature(self, length: int) -> float:
        """Return the factor on cos and sin; the logits get its square."""
        if self.attention_factor != "auto":
            return float(self.attention_factor)
        log_s = math.log(self.scale(length))
        return (0.1 * self.mscale * log_s + 1) / (0.1 * self.mscale_all_dim * log_s + 1)
