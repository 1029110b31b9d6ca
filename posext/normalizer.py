"""What makes weights of attention scores, in place of the softmax.

Shape suffixes: B batch, H heads, Q queries, K keys.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError
from posext.utils.ranges import Auto, Finite


class Normalizer(Modifier):
    """Base class: maps scores to weights. On its own, the softmax as a full matrix."""

    def check(self, scheme: PositionalEncoding) -> None:
        name = type(scheme).__name__
        if scheme.own_weights:
            raise PosextError(f"the weights of {name} are its own, so no other normalizer applies")
        for group in ("window", "sink"):
            if group in scheme.modifiers:
                raise PosextError(
                    f"a {group} needs attention weights that are a softmax of scores, "
                    f"not those of {type(self).__name__}"
                )

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        return tables._replace(attention_fn=self.attention_weights)

    def attention_weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, masked_QK: Tensor
    ) -> Tensor:
        """Return weights (B, H, Q, K), as `AttentionTables.attention_fn` does."""
        if bias_HQK is not None:
            scores_BHQK = scores_BHQK + bias_HQK
        return self.weights(scores_BHQK, masked_QK)

    def weights(self, scores_BHQK: Tensor, masked_QK: Tensor) -> Tensor:
        """Return weights of scores with their bias; 0 where masked."""
        return scores_BHQK.masked_fill(masked_QK, -math.inf).softmax(dim=-1)


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


class Sigmoid(Normalizer):
    """Weights every key by itself: sigmoid(x + bias) (Ramapuram et al. 2024).

    Args:
        shape: Dimensions of the network.
        bias: Added to scores; "auto": -ln original_length, as in the paper, so that a full row's
            weights sum to about 1 at the start of training.
    """

    paper = "arXiv:2409.04431"
    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, bias: Finite | Auto = "auto"):
        super().__init__(shape)
        self.bias = -math.log(shape.original_length) if bias == "auto" else float(bias)

    def weights(self, scores_BHQK: Tensor, masked_QK: Tensor) -> Tensor:
        return torch.sigmoid(scores_BHQK + self.bias).masked_fill(masked_QK, 0)


class Entmax(Normalizer):
    """Gives exactly 0 to low scores: entmax with alpha 1.5 (Peters et al. 2019).

    The weights are relu(x / 2 - tau)^2, with tau such that they sum to 1. It is found exactly from
    the sorted scores, so time and memory are a few times those of the softmax.
    """

    paper = "arXiv:1905.05702"
    stages = frozenset({"trained"})

    def weights(self, scores_BHQK: Tensor, masked_QK: Tensor) -> Tensor:
        halves_BHQK = scores_BHQK.masked_fill(masked_QK, -math.inf) / 2
        halves_BHQK = halves_BHQK - halves_BHQK.amax(-1, keepdim=True)
        # a key this far below the largest has weight 0 in any case
        halves_BHQK = halves_BHQK.clamp(min=-2)
        kept_BHQK = halves_BHQK > self.threshold(halves_BHQK.detach())
        count_BHQ1 = kept_BHQK.sum(-1, keepdim=True)
        # The threshold again, of what is kept alone: its root is never of 0, whose gradient is
        # infinite.
        mean_BHQ1 = (halves_BHQK * kept_BHQK).sum(-1, keepdim=True) / count_BHQ1
        spread_BHQ1 = ((halves_BHQK - mean_BHQ1).square() * kept_BHQK).sum(-1, keepdim=True)
        tau_BHQ1 = mean_BHQ1 - ((1 - spread_BHQ1) / count_BHQ1).sqrt()
        return ((halves_BHQK - tau_BHQ1) * kept_BHQK).square().masked_fill(masked_QK, 0)

    def threshold(self, halves_BHQK: Tensor) -> Tensor:
        """Return tau (B, H, Q, 1), from what it would be if the k largest were kept, for all k."""
        sorted_BHQK = halves_BHQK.sort(dim=-1, descending=True).values
        counts_K = torch.arange(1, sorted_BHQK.shape[-1] + 1, device=halves_BHQK.device)
        means_BHQK = sorted_BHQK.cumsum(-1) / counts_K
        squares_BHQK = sorted_BHQK.square().cumsum(-1) / counts_K
        # sum (x - tau)^2 = 1 has this smaller root
        spread_BHQK = counts_K * (squares_BHQK - means_BHQK.square())
        taus_BHQK = means_BHQK - ((1 - spread_BHQK).clamp(min=0) / counts_K).sqrt()
        kept_BHQ1 = (taus_BHQK <= sorted_BHQK).sum(-1, keepdim=True).clamp(min=1)
        return taus_BHQK.gather(-1, kept_BHQ1 - 1)
