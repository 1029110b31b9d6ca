"""YaRN: interpolation by parts, and a temperature."""

import logging
import math
from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)


class YaRN(ScaledRoPE):
    """Fast pairs stay, slow pairs are divided by s, a ramp between; cos and sin are multiplied by 0.1 ln s + 1.

    Peng et al. 2023, arXiv:2309.00071: theta'_i = theta_i (1 - ramp_i (1 - 1/s)). `ramp="rotations"` is equation 18, linear
    in r_i = original_length theta_i / 2 pi; `ramp="index"` is the authors' code (and transformers), linear in i between the
    pairs that turn beta_fast and beta_slow times, rounded outwards when `truncate`. The factor is equation 22.

    `beta_fast="auto"` is ours, for short lengths: the geometric mean of beta_slow and the turns of the fastest pair. `mscale`
    over `mscale_all_dim` is DeepSeek's: (0.1 mscale ln s + 1) over the same of the other. Class P, Z.
    Raises PosextError unless beta_fast > beta_slow > 0, and for settings that would have no effect.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        factor: float | Literal["auto"] = "auto",
        beta_fast: float | Literal["auto"] = 32.0,
        beta_slow: float = 1.0,
        truncate: bool = True,
        ramp: Literal["index", "rotations"] = "index",
        attention_factor: float | Literal["auto"] = "auto",
        mscale: float | None = None,
        mscale_all_dim: float | None = None,
    ):
        super().__init__(shape, base=base, factor=factor)
        most_turns = shape.original_length / (2 * math.pi)
        fast = math.sqrt(max(beta_slow, 0) * most_turns) if beta_fast == "auto" else beta_fast
        if not 0 < beta_slow < fast < math.inf:
            raise PosextError(
                f"beta_fast must exceed beta_slow, and both 0: got {beta_fast} and {beta_slow}"
            )
        if attention_factor != "auto" and not 0 < attention_factor < math.inf:
            raise PosextError(
                f"attention_factor must be a number above 0, or auto, not {attention_factor}"
            )
        if (mscale is None) != (mscale_all_dim is None) or (
            mscale is not None and attention_factor != "auto"
        ):
            raise PosextError("mscale and mscale_all_dim go together, and without attention_factor")
        if not all(0 <= number < math.inf for number in (mscale or 0, mscale_all_dim or 0)):
            raise PosextError(
                f"mscale and mscale_all_dim must be numbers of at least 0, not {mscale} and {mscale_all_dim}"
            )
        if fast > most_turns:
            message = "yarn: no pair turns beta_fast=%g times in %d tokens, so the ramp starts at once; try auto"
            log.warning(message, fast, shape.original_length)
        self.beta_fast, self.beta_slow, self.truncate, self.ramp_over = (
            fast,
            beta_slow,
            truncate,
            ramp,
        )
        self.attention_factor, self.mscales = (
            attention_factor,
            (mscale or 1.0, mscale_all_dim or 0.0),
        )

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.base) * (
            1 - self.ramp() * (1 - 1 / self.scale(length))
        ), self.temperature(length)

    def temperature(self, length: int) -> float:
        """The factor on cos and sin, whose square is on the logits."""
        if self.attention_factor != "auto":
            return float(self.attention_factor)
        above, below = (0.1 * mscale * math.log(self.scale(length)) + 1 for mscale in self.mscales)
        return above / below

    def ramp(self) -> Tensor:
        """0 where a pair keeps its speed, 1 where it is divided by s: float64 (R,)."""
        d, length = self.shape.head_dim, self.shape.original_length
        if self.ramp_over == "rotations":
            turns_R = length * self.inv_freq(self.base) / (2 * math.pi)
            return 1 - ((turns_R - self.beta_slow) / (self.beta_fast - self.beta_slow)).clamp(0, 1)
        low, high = self.ramp_ends()
        return ((torch.arange(d // 2, dtype=torch.float64) - low) / max(high - low, 1e-3)).clamp(
            0, 1
        )

    def ramp_ends(self) -> tuple[float, float]:
        """The pairs, in fractions unless truncated, that turn beta_fast and beta_slow times in the original length."""
        d, length = self.shape.head_dim, self.shape.original_length
        betas = (self.beta_fast, self.beta_slow)
        low, high = (
            d * math.log(length / (2 * math.pi * beta)) / (2 * math.log(self.base))
            for beta in betas
        )
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        return max(low, 0), min(high, d - 1)
