"""The Lambda-shaped mask."""

from typing import Literal

import torch
from torch import Tensor

from posext.pe.base import Shape
from posext.pe.tables import KeyGroup
from posext.window.base import Turn, Window, near


class LambdaMask(Window):
    """The last `size` keys at their own distances, and the first `first` keys at no more than `size`.

    Han et al. 2023, arXiv:2308.16137, section 4 (LM-Infinite): distances are capped at the length of pre-training.
    `size="auto"` is the original length. Class I. Raises PosextError for a size or first below 1.
    """

    remaps = True

    def __init__(self, shape: Shape, *, size: int | Literal["auto"] = "auto", first: int = 10):
        super().__init__(shape)
        self.first = self.tokens("window.first", first, first)
        self.size = self.tokens("window.size", size, shape.original_length)

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        size, first = self.size, self.first
        capped, start = (
            turn(torch.full_like(positions_T, size)),
            turn(torch.zeros_like(positions_T)),
        )
        return (
            KeyGroup(near(size), span=size),
            KeyGroup(lambda n, m: (n - m >= size) & (m < first), capped, start, first=first),
        )
