"""Learned absolute positions."""

import torch
from torch import Tensor, nn

from posext.pe.base import PositionalEncoding, Shape, check_whole
from posext.utils.errors import PosextError
from posext.utils.ranges import Auto, Count, NonNegative


class Learned(PositionalEncoding):
    """Adds a learned vector for every position to the token embedding.

    Gehring et al. 2017; GPT. The table is never clamped or wrapped: a context with a position past
    its end raises PosextError.

    Args:
        shape: Dimensions of the network.
        max_length: Positions in the table; "auto": the original length.
        std: Initial standard deviation of the vectors; 0.01 in GPT-2's code (Radford et al. 2019),
            beside token embeddings at the network's 0.02.
    """

    paper = "arXiv:1705.03122"
    stages = frozenset({"trained"})
    family = "absolute"
    relative = False

    def __init__(self, shape: Shape, *, max_length: Count | Auto = "auto", std: NonNegative = 0.01):
        super().__init__(shape)
        self.max_length = shape.original_length if max_length == "auto" else max_length
        self.table_TC = nn.Parameter(torch.empty(self.max_length, shape.d_model).normal_(std=std))

    def embed(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        check_whole(positions_T, "a table of learned positions")
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
