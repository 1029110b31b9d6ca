"""Entmax with alpha 1.5."""

import math

import torch
from torch import Tensor

from posext.normalizer.base import Normalizer


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
