"""Log-n scaling of attention."""

import math

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape


class LogN(AttentionScale):
    """Sharpens attention with the logarithm of the number of keys.

    The factor is ln(n + 1) / ln L for query n with n + 1 keys, where L is the original length
    (Su 2021).

    Args:
        shape: Dimensions of the network.
        in_range: True: the factor is below 1 before L, for models trained with it. False: it is
            max(1, .), which leaves the training length alone, for all other models.
    """

    paper = "kexue.fm/archives/8823"
    stages = frozenset({"trained", "inference"})

    def __init__(self, shape: Shape, *, in_range: bool = False):
        super().__init__(shape)
        self.in_range = in_range

    def logit_scale(self, length: int, trained_length: int) -> Tensor:
        keys_T = torch.arange(1, length + 1, dtype=torch.float64)
        growth_T = keys_T.log() / math.log(self.shape.original_length)
        return (growth_T if self.in_range else growth_T.clamp(min=1)).float()
