"""DroPE: rotary positions as a scaffold of training, dropped before its end."""

from torch import Tensor

from posext.pe.base import Rotation, Shape
from posext.pe.rope import RoPE
from posext.utils.errors import PosextError


class DroPE(RoPE):
    """RoPE until the last `share` of the steps, then no positions at all: the rest of training is the recalibration.

    Gelberg et al. 2025, arXiv:2512.12167, section 4 (an eighth of the tokens when trained from scratch). The learning rate
    goes on as scheduled; `optimizer.schedule=wsd` with a decay_share of the same size keeps it high until the drop. Class T.
    Raises PosextError for a share outside 0 .. 1.
    """

    family = "dropped"

    def __init__(self, shape: Shape, *, base: float = 10000.0, share: float = 0.125):
        super().__init__(shape, base=base)
        if not 0 <= share <= 1:
            raise PosextError(f"share must lie between 0 and 1, not {share}")
        self.share = share

    def rotation(self, positions_T: Tensor, length: int) -> Rotation | None:  # type: ignore[override]
        return super().rotation(positions_T, length) if self.progress < 1 - self.share else None
