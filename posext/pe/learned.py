"""Learned absolute positions."""

from typing import Literal

import torch
from torch import Tensor, nn

from posext.pe.base import PositionalEncoding, Shape
from posext.utils.errors import PosextError


class Learned(PositionalEncoding):
    """A trained vector for every position (Gehring et al. 2017, arXiv:1705.03122; GPT). Undefined past its table.

    Vectors start at Normal(0, `std`) beside tokens at the network's 0.02: 0.01 in GPT-2's own code (Radford et al. 2019).
    Class T. Raises PosextError where a context is longer than the table, which is never clamped or wrapped, and for a
    std below 0.
    """

    family = "absolute"
    relative = False

    def __init__(
        self, shape: Shape, *, max_length: int | Literal["auto"] = "auto", std: float = 0.01
    ):
        super().__init__(shape)
        self.max_length = shape.original_length if max_length == "auto" else max_length
        if self.max_length < 1:
            raise PosextError(f"max_length must be at least 1, not {max_length}")
        if not 0 <= std < float("inf"):
            raise PosextError(f"std must be a number of at least 0, not {std}")
        self.table_TC = nn.Parameter(torch.empty(self.max_length, shape.d_model).normal_(std=std))

    def embed(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        if x_BTC.shape[1] > len(self.table_TC):
            raise PosextError(
                f"a context of {x_BTC.shape[1]} tokens is undefined for learned positions: "
                f"the table ends at {len(self.table_TC)} (pe.max_length)"
            )
        if positions_T[-1] >= len(self.table_TC):
            raise PosextError(
                f"position {int(positions_T[-1])} is undefined for learned positions: "
                f"the table ends at {len(self.table_TC)} (pe.max_length)"
            )
        return x_BTC + self.table_TC[positions_T]
