"""Softpick."""

from typing import ClassVar

from torch import Tensor

from posext.normalizer.base import Normalizer


class Softpick(Normalizer):
    """Gives weight to scores above 0 alone, and may give none at all.

    relu(e^x - 1) / sum |e^x - 1| (Zuhri et al. 2025): rows need not sum to 1, so no head has to
    park its attention on the first token.
    """

    paper = "arXiv:2504.20966"
    stages = frozenset({"trained"})
    EPSILON: ClassVar[float] = 1e-6

    def weights(self, scores_BHQK: Tensor, masked_QK: Tensor) -> Tensor:
        scores_BHQK = scores_BHQK.masked_fill(masked_QK, 0)  # e^0 - 1 is 0
        largest_BHQ1 = scores_BHQK.amax(-1, keepdim=True).clamp(min=0)
        # both times e^-max, so that nothing overflows
        excess_BHQK = (scores_BHQK - largest_BHQ1).exp() - (-largest_BHQ1).exp()
        total_BHQ1 = excess_BHQK.abs().sum(-1, keepdim=True)
        return excess_BHQK.relu() / (total_BHQ1 + self.EPSILON)
