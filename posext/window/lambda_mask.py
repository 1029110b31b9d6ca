"""Lambda-shaped attention mask."""

from typing import ClassVar

import torch
from torch import Tensor

from posext.pe.base import Shape, last_keys
from posext.pe.tables import KeyGroup
from posext.utils.ranges import Auto, Count
from posext.window.base import Rotate, Window


class LambdaMask(Window):
    """Restricts a query to the last keys and the first ones, with distances capped at n_local.

    Han et al. 2023, section 4 (LM-Infinite): distances are capped at the length of pre-training.

    Args:
        shape: Dimensions of the network.
        n_local: Last keys, and the largest distance; "auto": the original length.
        n_starting: First keys of the context.
    """

    paper = "arXiv:2308.16137"
    stages = frozenset({"inference"})
    remaps = True
    former_settings: ClassVar[dict[str, str]] = {"size": "n_local", "first": "n_starting"}

    def __init__(self, shape: Shape, *, n_local: Count | Auto = "auto", n_starting: Count = 10):
        super().__init__(shape)
        self.n_starting = n_starting
        self.n_local = shape.original_length if n_local == "auto" else n_local

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        n_local = self.n_local
        n_starting = self.n_starting
        capped = rotate(torch.full_like(positions_T, n_local))
        origin = rotate(torch.zeros_like(positions_T))
        near_keys = last_keys(n_local)
        first_keys = KeyGroup(
            lambda n, m: (n - m >= n_local) & (m < n_starting), capped, origin, first=n_starting
        )
        return near_keys, first_keys
