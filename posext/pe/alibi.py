"""Attention with linear biases."""

import torch
from torch import Tensor

from posext.pe.base import KeyBias, PositionalEncoding


class ALiBi(PositionalEncoding):
    """-m_h (n - j) on the logit of query n and key j, with fixed slopes (Press et al. 2021, arXiv:2108.12409, section 3).

    Under softmax the part -m_h n is constant along a row and drops out, so m_h j is returned, a bias of the key alone.
    Class T.
    """

    family = "bias"

    def bias(self, positions_K: Tensor) -> KeyBias:
        slopes_H = torch.tensor(
            slopes(self.shape.n_heads), dtype=torch.float64, device=positions_K.device
        )
        return KeyBias(slopes_H[:, None] * positions_K.double())


def slopes(n_heads: int) -> list[float]:
    """Positive slopes m_h: 2^(-8h/H) for a power of two; else the next smaller power's, then every other of the larger's."""
    smaller = 1 << (n_heads.bit_length() - 1)
    first = [2 ** (-8 * h / smaller) for h in range(1, smaller + 1)]
    between = [2 ** (-4 * h / smaller) for h in range(1, 2 * smaller + 1, 2)]
    return first + between[: n_heads - smaller]
