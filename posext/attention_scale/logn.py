"""Scores that grow with the logarithm of what is attended to."""

import math

import torch
from torch import Tensor

from posext.attention_scale.base import AttentionScale
from posext.pe.base import Shape


class LogN(AttentionScale):
    """ln(n + 1) / ln L for query n, which sees n + 1 keys, with L the original length.

    Su 2021, https://kexue.fm/archives/8823 . With `in_range` the factor is below 1 before L, for models trained with it;
    without, it is max(1, .), which leaves the training length alone, for models that were not. Class T, I.
    """

    def __init__(self, shape: Shape, *, in_range: bool = False):
        super().__init__(shape)
        self.in_range = in_range

    def multiplier(self, length: int, trained_length: int) -> Tensor:
        keys_T = torch.arange(1, length + 1, dtype=torch.float64)
        growth_T = keys_T.log() / math.log(self.shape.original_length)
        return (growth_T if self.in_range else growth_T.clamp(min=1)).float()
