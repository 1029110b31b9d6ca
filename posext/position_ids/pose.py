"""PoSE: positional skip-wise training."""

import torch
from torch import Tensor

from posext.pe.base import PositionIds, Shape
from posext.position_ids.draws import generator
from posext.utils.ranges import AtLeastOne


class PoSE(PositionIds):
    """Skips a random number of positions at a random place of each training context.

    Zhu et al. 2023, section 3 with two chunks (one skip per sequence in the paper, one per step
    here): short contexts then hold distances up to `multiple` times the original length. An
    automatic factor of the scheme treats the whole range as trained. In evaluation positions are
    0, 1, 2, ..

    Args:
        shape: Dimensions of the network.
        multiple: Range of the positions over the original length.
    """

    paper = "arXiv:2309.10400"
    stages = frozenset({"fine-tuned"})

    def __init__(self, shape: Shape, *, multiple: AtLeastOne = 16.0):
        super().__init__(shape)
        self.limit = round(multiple * shape.original_length)

    def positions(self, length: int, rng_key: tuple[int, int] | None) -> Tensor:
        positions_T = torch.arange(length)
        if rng_key is not None and length > 1:
            rng = generator(rng_key)
            cut = int(rng.integers(1, length))
            skip = int(rng.integers(0, max(self.limit - length, 0) + 1))
            positions_T[cut:] += skip
        return positions_T

    def effective_length(self, length: int) -> int:
        return max(self.limit, length)
