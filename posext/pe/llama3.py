"""The scaling of Llama 3.1."""

from posext.pe.base import Shape
from posext.pe.ntk_by_parts import NTKByParts
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastOne, Auto, Base, Positive


class Llama3(NTKByParts):
    """Keeps short wavelengths, multiplies long ones by s, and interpolates smoothly in between.

    Wavelengths below L / high_freq_factor stay and those above L / low_freq_factor are multiplied
    by s, with L the original length; the ramp is linear in L / wavelength (Llama team 2024, and its
    released code). It is interpolation by parts with other bounds.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        factor: The factor s, as in `ScaledRoPE`.
        low_freq_factor: Bound of the long wavelengths.
        high_freq_factor: Bound of the short wavelengths.

    Raises:
        PosextError: Unless low_freq_factor < high_freq_factor.
    """

    paper = "arXiv:2407.21783"
    stages = frozenset({"fine-tuned"})

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        factor: AtLeastOne | Auto = "auto",
        low_freq_factor: Positive = 1.0,
        high_freq_factor: Positive = 4.0,
    ):
        if low_freq_factor >= high_freq_factor:
            raise PosextError(
                "high_freq_factor must exceed low_freq_factor: "
                f"got {high_freq_factor} and {low_freq_factor}"
            )
        super().__init__(
            shape, base=base, factor=factor, beta_fast=high_freq_factor, beta_slow=low_freq_factor
        )
