"""What windows share: they replace a scheme's one view of the keys by others."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from posext.pe.base import Modifier, PositionalEncoding
from posext.pe.tables import AttentionTables, KeyGroup, Rotation
from posext.utils.errors import PosextError

Turn = Callable[[Tensor], Rotation | None]


class Window(Modifier):
    """As it stands, every key up to the query's own, as without a window (`+window=full`)."""

    remaps = False  # sees keys at other distances than their own

    def check(self, scheme: PositionalEncoding) -> None:
        if self.remaps and scheme.family not in ("rotary", "none"):
            raise PosextError(
                f"{type(self).__name__} sees keys at other rotary positions than their own, so it needs a rotary scheme, "
                f"not one of the family {scheme.family}"
            )

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        positions_T = tables.positions_T - tables.positions_T[0]

        def turn(at_T: Tensor) -> Rotation | None:
            return scheme.rotation(at_T, len(positions_T))

        return tables._replace(views=self.views(positions_T, turn))

    def views(self, positions_T: Tensor, turn: Turn) -> tuple[KeyGroup, ...]:
        """What queries see, given the positions from 0 on and the rotation at any positions; none: everything."""
        return ()

    def tokens(self, name: str, value: int | Literal["auto"], auto: int) -> int:
        """A length in tokens, `auto` where that was chosen. Raises PosextError below 1."""
        chosen = auto if value == "auto" else value
        if chosen < 1:
            raise PosextError(f"{name} must be at least 1 token, not {chosen}")
        return chosen


def near(size: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The last `size` keys, the query's own among them."""
    return lambda queries_Q1, keys_1K: queries_Q1 - keys_1K < size


def far(size: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The keys before those."""
    return lambda queries_Q1, keys_1K: queries_Q1 - keys_1K >= size
