"""The norm of the network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPSILON = 1e-5


class RMSNorm(nn.Module):
    """x / rms(x) times a learned gain (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_BTC: Tensor) -> Tensor:
        return F.rms_norm(x_BTC, self.weight.shape, self.weight, NORM_EPSILON)
