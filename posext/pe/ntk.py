"""NTK-aware interpolation, by a change of base."""

from torch import Tensor

from posext.pe.base import Shape
from posext.pe.scaling import ScaledRoPE
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastOne, Auto, Base


class NTK(ScaledRoPE):
    """Raises RoPE's base: the fastest pair keeps its frequency, the slowest is divided by s.

    base' = base s^(d/(d-2)) (bloc97 2023; Peng et al. 2023, section 3.1, equations 9-10, the static
    form of "NTK-aware").

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies at s = 1.
        factor: The factor s, as in `ScaledRoPE`.

    Raises:
        PosextError: head_dim is 2.
    """

    paper = "arXiv:2309.00071"
    stages = frozenset({"zero-shot"})

    def __init__(self, shape: Shape, *, base: Base = 10000.0, factor: AtLeastOne | Auto = "auto"):
        super().__init__(shape, base=base, factor=factor)
        ntk_base(base, 1.0, shape.head_dim)  # raises for a head_dim of 2

    def frequencies(self, length: int) -> tuple[Tensor, float]:
        return self.inv_freq(self.scaled_base(length)), 1.0

    def scaled_base(self, length: int) -> float:
        """Return the base at `length` tokens of context."""
        return ntk_base(self.base, self.scale(length), self.shape.head_dim)


def ntk_base(base: float, scale: float, head_dim: int) -> float:
    """Return the NTK-aware base: base scale^(d/(d-2)).

    It divides the slowest pair's frequency by `scale` and keeps the fastest.

    Raises:
        PosextError: head_dim is 2, with one pair that is both the slowest and the fastest.
    """
    if head_dim == 2:
        raise PosextError(
            "a change of base cannot scale a head_dim of 2: "
            "it has one pair, which turns once a token"
        )
    return base * scale ** (head_dim / (head_dim - 2))
