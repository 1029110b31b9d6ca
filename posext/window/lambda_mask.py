"""Lambda-shaped attention mask."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Rotate, Window, near


class LambdaMask(Window):
    """Restricts a query to the last keys and the first ones, with distances capped at `size`.

    Han et al. 2023, section 4 (LM-Infinite): distances are capped at the length of pre-training.

    Args:
        shape: Dimensions of the network.
        size: Last keys, and the largest distance; "auto": the original length.
        first: First keys of the context.

    Raises:
        PosextError: size or first is below 1.
    """

    paper = "arXiv:2308.16137"
    stages = frozenset({"inference"})
    remaps = True

    def __init__(self, shape: Shape, *, size: int | Literal["auto"] = "auto", first: int = 10):
        super().__init__(shape)
        self.first = self.tokens("window.first", first, first)
        self.size = self.tokens("window.size", size, shape.original_length)

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        size = self.size
        first = self.first
        capped = rotate(torch.full_like(positions_T, size))
        origin = rotate(torch.zeros_like(positions_T))
        last_keys = KeyGroup(near(size), span=size)
        first_keys = KeyGroup(
            lambda n, m: (n - m >= size) & (m < first), capped, origin, first=first
        )
        return last_keys, first_keys
