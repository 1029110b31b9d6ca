"""Sigmoid attention."""

import math

import torch
from torch import Tensor

from posext.normalizer.base import Normalizer
from posext.pe.base import Shape
from posext.utils.ranges import Auto, Finite


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
