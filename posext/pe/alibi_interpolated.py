"""ALiBi interpolated: its slopes divided by s."""

from torch import Tensor

from posext.pe.alibi import ALiBi
from posext.pe.base import KeyBias, Shape
from posext.pe.scaling import factor_at
from posext.utils.ranges import AtLeastOne, Auto


class InterpolatedALiBi(ALiBi):
    """Divides ALiBi's slopes by s, for contexts s times as long.

    The logit gets -m_h (n - j) / s (Al-Khateeb et al. 2023).

    Args:
        shape: Dimensions of the network.
        factor: The factor s; "auto": max(length, trained length) / original length.
    """

    paper = "arXiv:2310.13017"
    stages = frozenset({"inference"})

    def __init__(self, shape: Shape, *, factor: AtLeastOne | Auto = "auto"):
        super().__init__(shape)
        self.factor = factor
        self.length_dependent = factor == "auto"

    def bias(self, positions_K: Tensor) -> KeyBias:
        s = factor_at(self, self.factor, len(positions_K))
        return KeyBias(super().bias(positions_K).values_HK / s)
