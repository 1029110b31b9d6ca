"""STRING: far keys at well-trained distances."""

from torch import Tensor

from posext.pe.base import Shape, last_keys
from posext.pe.tables import KeyGroup
from posext.utils.errors import PosextError
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window, far


class STRING(Window):
    """Gives far keys the distances that training saw most often, in place of the longest ones.

    A distance d of at least S becomes d - S + W (An et al. 2024, figure 5), so that S - W of the
    distances that occur in a context are no longer met. The shift is the same at every length: a
    context of more than L + S - W tokens, with L the original length, meets distances beyond L.
    The authors' code multiplies all logits by (0.1 ln 2 + 1)^2 too: attention_scale=yarn with
    attention_scale.factor=2.

    Args:
        shape: Dimensions of the network.
        shifted_offset: S in tokens; "auto": a third of the original length, as in the paper.
        local_value: W in tokens; "auto": the paper's 128, and at most the share that they are of
            its shortest model, a sixteenth of the original length.

    Raises:
        PosextError: W exceeds S, which would raise the distances.
    """

    paper = "arXiv:2410.18745"
    stages = frozenset({"inference"})
    remaps = True

    def __init__(
        self,
        shape: Shape,
        *,
        shifted_offset: Count | Auto = "auto",
        local_value: Count | Auto = "auto",
    ):
        super().__init__(shape)
        length = shape.original_length
        self.shifted_offset = max(1, length // 3) if shifted_offset == "auto" else shifted_offset
        widest = max(1, min(128, length // 16))
        self.local_value = widest if local_value == "auto" else local_value
        if self.local_value > self.shifted_offset:
            raise PosextError(
                f"window.local_value={self.local_value} exceeds "
                f"window.shifted_offset={self.shifted_offset}, which it must not"
            )

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        shift = self.shifted_offset - self.local_value
        near_keys = last_keys(self.shifted_offset)
        far_keys = KeyGroup(
            far(self.shifted_offset), rotate(positions_T - shift), rotate(positions_T)
        )
        return near_keys, far_keys
