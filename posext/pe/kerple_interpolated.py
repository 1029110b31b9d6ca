"""KERPLE interpolated: its distances divided by s."""

from torch import Tensor

from posext.pe.base import DistanceBias, Shape, distances
from posext.pe.kerple_log import KERPLELog
from posext.pe.scaling import factor_at
from posext.utils.ranges import AtLeastOne, Auto


class InterpolatedKERPLELog(KERPLELog):
    """Divides the distances of KERPLE's logarithmic kernel by s, for contexts s times as long.

    The bias is -r1 ln(1 + r2 distance / s): position interpolation (Chen et al. 2023) of an
    additive bias; the combination is ours.

    Args:
        shape: Dimensions of the network.
        factor: The factor s; "auto": max(length, trained length) / original length.
    """

    paper = "arXiv:2306.15595, arXiv:2205.09921"
    stages = frozenset({"inference"})

    def __init__(self, shape: Shape, *, factor: AtLeastOne | Auto = "auto"):
        super().__init__(shape)
        self.factor = factor
        self.length_dependent = factor == "auto"

    def bias(self, positions_K: Tensor) -> DistanceBias:
        s = factor_at(self, self.factor, len(positions_K))
        return self.kernel(distances(positions_K).to(self.rate_H.dtype) / s)
