"""YaRN: interpolation by parts, with an attention factor."""

import logging
import math
from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastOne, Auto, Base, NonNegative, Positive

log = logging.getLogger(__name__)


class YaRN(ScaledRoPE):
    """Keeps fast rotary pairs, divides slow ones by s, and sharpens attention a little.

    theta'_i = theta_i (1 - ramp_i (1 - 1/s)), and cos and sin are multiplied by 0.1 ln s + 1
    (Peng et al. 2023, equation 22).

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        beta_fast: Pairs with more rotations within the original length stay as they are. "auto",
            our addition for short lengths: the geometric mean of beta_slow and the rotations of the
            fastest pair.
        beta_slow: Pairs with fewer rotations within the original length are divided by s.
        truncate: Round the ends of the "index" ramp outwards to whole pairs.
        ramp: "rotations" for equation 18, linear in r_i = original_length theta_i / 2 pi; "index"
            for the authors' code (and transformers), linear in the pair index i between the pairs
            with beta_fast and beta_slow rotations.
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
        super().__init__(shape, base=base, factor=factor)
        max_rotations = shape.original_length / (2 * math.pi)
        geometric_mean = math.sqrt(beta_slow * max_rotations)
        beta_fast_value = geometric_mean if beta_fast == "auto" else beta_fast
        if beta_slow >= beta_fast_value:
            raise PosextError(f"beta_fast must exceed beta_slow: got {beta_fast} and {beta_slow}")
        has_mscale = mscale is not None
        if has_mscale != (mscale_all_dim is not None) or (
            has_mscale and attention_factor != "auto"
        ):
            raise PosextError("mscale and mscale_all_dim go together, and without attention_factor")
        if beta_fast_value > max_rotations:
            log.warning(
                "yarn: no pair turns beta_fast=%g times in %d tokens, so the ramp starts at once; "
                "try auto",
                beta_fast_value,
                shape.original_length,
            )
        self.beta_fast = beta_fast_value
        self.beta_slow = beta_slow
        self.truncate = truncate
        self.ramp_over = ramp
        self.attention_factor = attention_factor
        self.mscale = mscale or 1.0
        self.mscale_all_dim = mscale_all_dim or 0.0

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        interpolation_R = 1 - self.ramp() * (1 - 1 / self.scale(length))
        return self.inv_freq(self.base) * interpolation_R, self.temperature(length)

    def temperature(self, length: int) -> float:
        """Return the factor on cos and sin; the logits get its square."""
        if self.attention_factor != "auto":
            return float(self.attention_factor)
        log_s = math.log(self.scale(length))
        return (0.1 * self.mscale * log_s + 1) / (0.1 * self.mscale_all_dim * log_s + 1)

    def ramp(self) -> Tensor:
        """Return 0 for a pair that is kept, 1 for a pair that is divided by s: float64 (R,)."""
        if self.ramp_over == "rotations":
            rotations_R = self.shape.original_length * self.inv_freq(self.base) / (2 * math.pi)
            kept_R = (rotations_R - self.beta_slow) / (self.beta_fast - self.beta_slow)
            return 1 - kept_R.clamp(0, 1)
        low, high = self.ramp_ends()
        pairs_R = torch.arange(self.shape.head_dim // 2, dtype=torch.float64)
        return ((pairs_R - low) / max(high - low, 1e-3)).clamp(0, 1)

    def ramp_ends(self) -> tuple[float, float]:
        """Return the indices of the pairs with beta_fast and beta_slow rotations.

        The rotations are counted within the original length. The indices are fractional unless
        truncated.
        """
        low = self.pair_with_rotations(self.beta_fast)
        high = self.pair_with_rotations(self.beta_slow)
        if self.truncate:
            low = math.floor(low)
            high = math.ceil(high)
        return max(low, 0), min(high, self.shape.head_dim - 1)

    def pair_with_rotations(self, rotations: float) -> float:
        """Return the fractional index of the pair with these rotations in the original length."""
        d = self.shape.head_dim
        length = self.shape.original_length
        return d * math.log(length / (2 * math.pi * rotations)) / (2 * math.log(self.base))
