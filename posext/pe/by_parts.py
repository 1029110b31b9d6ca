"""Base class of scalings that keep fast rotary pairs and divide slow ones."""

import logging
import math
from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastOne, Auto, Base, Positive

log = logging.getLogger(__name__)


class ByParts(ScaledRoPE):
    """RoPE whose pairs are kept where a ramp is 0, and divided by s where it is 1.

    theta'_i = theta_i (1 - ramp_i (1 - 1/s)); fast pairs come first.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        beta_fast: Rotations within the original length at which the ramp begins; "auto", our
            addition for short lengths: the geometric mean of beta_slow and those of the fastest
            pair.
        beta_slow: Rotations at which it ends.
        ramp: "rotations" is linear in the rotations (Peng et al. 2023, equation 18); "index" is
            linear in the pair's index, as in the authors' code and transformers.
        truncate: Round the ends of the "index" ramp outwards to whole pairs.

    Raises:
        PosextError: Unless beta_fast > beta_slow.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base,
        factor: AtLeastOne | Auto,
        beta_fast: Positive | Auto,
        beta_slow: Positive,
        ramp: Literal["index", "rotations"],
        truncate: bool = True,
    ):
        super().__init__(shape, base=base, factor=factor)
        fastest = shape.original_length / (2 * math.pi)
        self.beta_fast = math.sqrt(beta_slow * fastest) if beta_fast == "auto" else beta_fast
        self.beta_slow = beta_slow
        self.ramp_over = ramp
        self.truncate = truncate
        if beta_slow >= self.beta_fast:
            raise PosextError(f"beta_fast must exceed beta_slow: got {beta_fast} and {beta_slow}")
        if self.beta_fast > fastest:
            log.warning(
                "no rotary pair turns beta_fast=%g times in %d tokens, so the ramp starts at once; "
                "try auto",
                self.beta_fast,
                shape.original_length,
            )

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        interpolation_R = 1 - self.ramp() * (1 - 1 / self.scale(length))
        return self.inv_freq(self.base) * interpolation_R, 1.0

    def ramp(self) -> Tensor:
        """Return the ramp at every pair: float64 (R,)."""
        if self.ramp_over == "rotations":
            rotations_R = self.shape.original_length * self.inv_freq(self.base) / (2 * math.pi)
            kept_R = (rotations_R - self.beta_slow) / (self.beta_fast - self.beta_slow)
            return 1 - kept_R.clamp(0, 1)
        low, high = self.ramp_ends()
        pairs_R = torch.arange(self.shape.head_dim // 2, dtype=torch.float64)
        return ((pairs_R - low) / max(high - low, 1e-3)).clamp(0, 1)

    def ramp_ends(self) -> tuple[float, float]:
        """Return the indices of the pairs with beta_fast and beta_slow rotations.

        They are fractional unless truncated.
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
