"""Sandwich: the inner products of sinusoidal encodings, as a bias."""

import torch
from torch import Tensor

from posext.pe.base import DistanceBias, PositionalEncoding, Shape, distances
from posext.utils.errors import PosextError
from posext.utils.ranges import AtLeastTwo


class Sandwich(PositionalEncoding):
    """Lowers the logit of a key with its distance, by inner products of sinusoidal encodings.

    The bias is (sum_j cos(distance 10000^(-2j/width)) - width/2) / (8h/H) with j = 1 .. width/2 for
    head h of H, without parameters (Chi et al. 2022, section 4; the temporal bias of Sandwich with
    a slope for every head).

    Args:
        shape: Dimensions of the network.
        width: Width of the sinusoidal encodings.

    Raises:
        PosextError: width is odd.
    """

    paper = "arXiv:2212.10356"
    stages = frozenset({"trained"})
    family = "bias"

    def __init__(self, shape: Shape, *, width: AtLeastTwo = 128):
        super().__init__(shape)
        if width % 2:
            raise PosextError(f"width must be even, not {width}")
        self.width = width

    def bias(self, positions_K: Tensor) -> DistanceBias:
        device = positions_K.device
        n_heads = self.shape.n_heads
        distances_L = distances(positions_K).double()
        pairs_J = torch.arange(1, self.width // 2 + 1, dtype=torch.float64, device=device)
        phases_LJ = distances_L[:, None] * 10000.0 ** (-2 * pairs_J / self.width)
        decay_L = phases_LJ.cos().sum(-1) - self.width / 2
        heads_H = torch.arange(1, n_heads + 1, dtype=torch.float64, device=device)
        return DistanceBias((decay_L / (8 * heads_H / n_heads)[:, None]).float())
