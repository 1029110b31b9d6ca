"""Sinusoidal absolute positions."""

import math

import torch
from torch import Tensor

from posext.pe.base import PositionalEncoding


class Sinusoidal(PositionalEncoding):
    """PE[n, 2i] = sin(n 10000^(-2i/C)), PE[n, 2i+1] = cos(same), added to embeddings scaled by sqrt(C).

    Vaswani et al. 2017, arXiv:1706.03762, section 3.5 (and 3.4 for the scale). Class T.
    """

    family = "absolute"
    relative = False

    def embed(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        return x_BTC * math.sqrt(self.shape.d_model) + self.table(positions_T).to(x_BTC.dtype)

    def table(self, positions_T: Tensor) -> Tensor:
        """The encoding of every position: float32 (T, C)."""
        width = self.shape.d_model
        even = torch.arange(0, width, 2, dtype=torch.float64, device=positions_T.device)
        phases = positions_T.double()[:, None] * 10000.0 ** (-even / width)
        return torch.stack((phases.sin(), phases.cos()), dim=-1).flatten(-2)[:, :width].float()
