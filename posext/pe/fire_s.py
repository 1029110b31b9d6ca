"""FIRE-S: FIRE with one function for all layers."""

from torch import Tensor, nn

from posext.pe.base import PairBias, Shape
from posext.pe.fire import FIRE, Interpolation
from posext.utils.ranges import AtLeastOne, Auto, Count, Finite


class FIREShared(FIRE):
    """Learns FIRE's bias as one function that all layers share.

    Li et al. 2023, section 4 ("FIRE-S"). Settings and errors are those of `FIRE`.
    """

    paper = "arXiv:2310.04418"
    stages = frozenset({"trained"})

    def __init__(
        self,
        shape: Shape,
        *,
        width: Count = 32,
        c: Finite = 0.1,
        threshold: AtLeastOne | Auto = "auto",
    ):
        super().__init__(shape, width=width, c=c, threshold=threshold)
        self.shared = Interpolation(shape.n_heads, width, c, self.threshold)

    def bias(self, positions_K: Tensor) -> PairBias:
        return PairBias(self.shared.rows)

    def make_layer_module(self) -> nn.Module | None:
        return None
