"""What temperatures share: a multiplier of the scores, by query."""

from torch import Tensor

from posext.pe.base import Modifier, PositionalEncoding
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError


class AttentionScale(Modifier):
    """As it stands, 1 (`+attention_scale=none`). Multiplies q k / sqrt(head_dim), not a bias that is added to it."""

    def check(self, scheme: PositionalEncoding) -> None:
        """Two temperatures are never multiplied in silence: on a scheme that has its own this raises ValueError."""
        own = scheme.logit_factor(8 * scheme.shape.original_length)
        if type(self) is not AttentionScale and own != 1:
            raise PosextError(
                f"{type(scheme).__name__} has a temperature of its own (scores times {own:.3f} at 8 times the original "
                f"length) and {type(self).__name__} would be a second: take one away (attention_factor=1 for YaRN)"
            )

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        multiplier_T = self.multiplier(len(tables.positions_T), scheme.trained_length)
        return (
            tables
            if multiplier_T is None
            else tables._replace(multiplier=multiplier_T.to(tables.positions_T.device))
        )

    def multiplier(self, length: int, trained_length: int) -> Tensor | None:
        """What the scores of each query are multiplied by in a context of `length` tokens: float32 (T,)."""
        return None
