"""Interpolation by parts, without a temperature."""

from typing import Literal

from posext.pe.base import Shape
from posext.pe.yarn import YaRN


class NTKByParts(YaRN):
    """Pairs that turn more than beta_fast times stay, those below beta_slow are divided by s, linear in turns between.

    bloc97 2023; Peng et al. 2023, arXiv:2309.00071, section 3.2, equations 17-18 (there beta and alpha). Class Z.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        base: float = 10000.0,
        factor: float | Literal["auto"] = "auto",
        beta_fast: float | Literal["auto"] = 32.0,
        beta_slow: float = 1.0,
    ):
        parts = {
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "ramp": "rotations",
            "attention_factor": 1.0,
        }
        super().__init__(shape, base=base, factor=factor, **parts)
