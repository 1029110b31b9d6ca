"""Sandwich: the inner products of sinusoidal encodings, as a bias."""

import torch
from torch import Tensor

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.utils.errors import PosextError


class Sandwich(PositionalEncoding):
    """(sum_j cos(distance 10000^(-2j/width)) - width/2) / (8h/H), j = 1 .. width/2; no parameters.

    Chi et al. 2022, arXiv:2212.10356, section 4; the temporal bias of Sandwich with a slope for every head. Class T.
    Raises PosextError for an odd width or one below 2.
    """

    family = "bias"

    def __init__(self, shape: Shape, *, width: int = 128):
        super().__init__(shape)
        if width < 2 or width % 2:
            raise PosextError(f"width must be even and at least 2, not {width}")
        self.width = width

    def bias(self, positions_K: Tensor) -> DistanceBias:
        distances_L = distances(positions_K).double()
        pairs_J = torch.arange(
            1, self.width // 2 + 1, dtype=torch.float64, device=positions_K.device
        )
        phases_LJ = distances_L[:, None] * 10000.0 ** (-2 * pairs_J / self.width)
        decay_L = phases_LJ.cos().sum(-1) - self.width / 2
        heads_H = torch.arange(
            1, self.shape.n_heads + 1, dtype=torch.float64, device=positions_K.device
        )
        return DistanceBias((decay_L / (8 * heads_H / self.shape.n_heads)[:, None]).float())
