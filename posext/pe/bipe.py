"""BiPE: absolute positions within a segment of the text, relative ones between segments."""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from posext.pe.alibi import ALiBi
from posext.pe.base import AttentionTables, KeyBias, Modifier, PositionalEncoding, Rotation, Shape
from posext.pe.rope import RoPE
from posext.pe.segments import by_context, places_in, segment_numbers
from posext.utils.errors import PosextError
from posext.utils.ranges import Auto, Count, NonNegative


class BiPE(PositionalEncoding):
    """Adds a vector for a token's place in its sentence, and counts distances in sentences.

    A segment ends with a full stop or a line break. A token's place in it chooses a learned vector
    for its embedding; RoPE or ALiBi takes the segment's number (He et al. 2024, section 3.2). As in
    their code, places beyond the table take its last vector, and ALiBi's slopes are 96-fold.

    Args:
        shape: Dimensions of the network.
        between: The scheme between segments.
        ends: Ends of the text of a token, less spaces, that end a segment.
        max_place: Vectors in the table; "auto": the original length.
        std: Their initial standard deviation; 0.02 in the authors' code.
    """

    paper = "arXiv:2401.16421"
    stages = frozenset({"trained"})
    family = "content"

    def __init__(
        self,
        shape: Shape,
        *,
        between: Literal["rope", "alibi"] = "rope",
        ends: Sequence[str] = (".", "\n"),
        max_place: Count | Auto = "auto",
        std: NonNegative = 0.02,
    ):
        super().__init__(shape)
        self.between = {"rope": RoPE, "alibi": ALiBi}[between](shape)
        self.ends = tuple(ends)
        places = shape.original_length if max_place == "auto" else max_place
        self.table_PC = nn.Parameter(torch.empty(places, shape.d_model).normal_(std=std))
        self.is_end_V: Tensor | None = None

    def read_vocabulary(self, texts: Iterable[str]) -> None:
        self.is_end_V = torch.tensor([text.rstrip(" \t").endswith(self.ends) for text in texts])

    def token_positions(self, tokens_BT: Tensor) -> Tensor:
        if self.is_end_V is None:
            raise PosextError("bipe finds segments in text: call read_vocabulary(texts) first")
        return segment_numbers(self.is_end_V.to(tokens_BT.device)[tokens_BT])

    def embed(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        return x_BTC + self.table_PC[places_in(positions_T).clamp(max=len(self.table_PC) - 1)]

    def rotation(self, positions_T: Tensor, length: int) -> Rotation | None:
        return self.between.rotation(positions_T, length)

    def bias(self, positions_K: Tensor) -> KeyBias | None:
        bias = self.between.bias(positions_K)
        return KeyBias(96 * bias.values_HK) if isinstance(bias, KeyBias) else None

    def tables(self, positions_T: Tensor) -> AttentionTables:
        length = positions_T.shape[-1]
        tables = super().tables(torch.arange(length, device=positions_T.device))
        row_T = positions_T.flatten()
        tables = tables._replace(rotation=self.rotation(row_T, length), bias=self.bias(row_T))
        return by_context(tables, self.shape.n_heads, length)

    def attach(self, group: str, modifier: Modifier) -> None:
        if group == "position_ids":
            raise PosextError("bipe has positions of its own, from the text, and takes no others")
        super().attach(group, modifier)
