"""DroPE: rotary positions that are dropped before the end of training."""

from torch import Tensor

from posext.pe.base import Rotation, Shape
from posext.pe.rope import RoPE
from posext.utils.ranges import Base, Share


class DroPE(RoPE):
    """Trains with RoPE, then without any positions for the last share of the steps.

    The steps without positions are the recalibration (Gelberg et al. 2025, section 4). The learning
    rate follows its schedule; `optimizer.schedule=wsd` with a decay_share equal to `share` keeps it
    high until the drop.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        share: Share of the steps without positions, at the end: an eighth of the tokens in the
            paper, for training from scratch.
    """

    paper = "arXiv:2512.12167"
    stages = frozenset({"trained"})
    family = "dropped"

    def __init__(self, shape: Shape, *, base: Base = 10000.0, share: Share = 0.125):
        super().__init__(shape, base=base)
        self.share = share

    def rotation(  # type: ignore[override]
        self, positions_T: Tensor, length: int
    ) -> Rotation | None:
        return super().rotation(positions_T, length) if self.progress < 1 - self.share else None
