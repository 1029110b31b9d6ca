"""Base class of attention temperatures: a factor on the logits by query."""

from torch import Tensor

from posext.pe.base import Modifier, PositionalEncoding
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError


class AttentionScale(Modifier):
    """Multiplies q k / sqrt(head_dim), not a bias. On its own (`+attention_scale=none`), by 1."""

    def check(self, scheme: PositionalEncoding) -> None:
        """Raise PosextError if the scheme has a temperature of its own."""
        own_factor = scheme.logit_factor(8 * scheme.shape.original_length)
        if type(self) is not AttentionScale and own_factor != 1:
            raise PosextError(
                f"{type(scheme).__name__} has a temperature of its own (scores times "
                f"{own_factor:.3f} at 8 times the original length) and {type(self).__name__} would "
                "be a second: take one away (attention_factor=1 for YaRN)"
            )

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        scale_T = self.logit_scale(len(tables.positions_T), scheme.trained_length)
        if scale_T is None:
            return tables
        return tables._replace(logit_scale=scale_T.to(tables.positions_T.device))

    def logit_scale(self, length: int, trained_length: int) -> Tensor | None:
        """Return the factor on each query's logits at `length` tokens of context: float32 (T,)."""
        return None
