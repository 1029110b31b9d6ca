"""Base class of normalizers, which make weights of attention scores in place of the softmax.

Shape suffixes: B batch, H heads, Q queries, K keys.
"""

import math

from torch import Tensor

from posext.pe.base import Modifier, PositionalEncoding
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError


class Normalizer(Modifier):
    """Base class: maps scores to weights. On its own, the softmax as a full matrix."""

    def check(self, scheme: PositionalEncoding) -> None:
        name = type(scheme).__name__
        if scheme.own_weights:
            raise PosextError(f"the weights of {name} are its own, so no other normalizer applies")
        for group in ("window", "sink"):
            if group in scheme.modifiers:
                raise PosextError(
                    f"a {group} needs attention weights that are a softmax of scores, "
                    f"not those of {type(self).__name__}"
                )

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        return tables._replace(attention_fn=self.attention_weights)

    def attention_weights(
        self, q_BHQD: Tensor, scores_BHQK: Tensor, bias_HQK: Tensor | None, masked_QK: Tensor
    ) -> Tensor:
        """Return weights (B, H, Q, K), as `AttentionTables.attention_fn` does."""
        if bias_HQK is not None:
            scores_BHQK = scores_BHQK + bias_HQK
        return self.weights(scores_BHQK, masked_QK)

    def weights(self, scores_BHQK: Tensor, masked_QK: Tensor) -> Tensor:
        """Return weights of scores with their bias; 0 where masked."""
        return scores_BHQK.masked_fill(masked_QK, -math.inf).softmax(dim=-1)
