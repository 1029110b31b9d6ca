"""Base class of attention windows, which replace the causal mask by key groups."""

from collections.abc import Callable

from torch import Tensor

from posext.pe.base import Modifier, PositionalEncoding
from posext.pe.tables import AttentionTables, KeyGroup, Rotation
from posext.utils.errors import PosextError

# Maps positions (T,) to their rotation under the scheme.
Rotate = Callable[[Tensor], Rotation | None]


class Window(Modifier):
    """Base class of all windows. On its own (`+window=full`), the causal mask without a window."""

    # True for a window that places keys at other distances than their own.
    remaps = False

    def check(self, scheme: PositionalEncoding) -> None:
        if scheme.own_weights and type(self) is not Window:
            raise PosextError(
                "a window needs attention weights that are a softmax of scores, "
                f"not those of {type(scheme).__name__}"
            )
        if scheme.own_scores and type(self) is not Window:
            raise PosextError(
                "a window needs scores that are products of queries and keys, "
                f"not those of {type(scheme).__name__}"
            )
        if self.remaps and scheme.family not in ("rotary", "none"):
            raise PosextError(
                f"{type(self).__name__} sees keys at other rotary positions than their own, "
                f"so it needs a rotary scheme, not one of the family {scheme.family}"
            )

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        positions_T = tables.positions_T - tables.positions_T[0]

        def rotate(at_T: Tensor) -> Rotation | None:
            return scheme.rotation(at_T, len(positions_T))

        return tables._replace(key_groups=self.key_groups(positions_T, rotate))

    def key_groups(self, positions_T: Tensor, rotate: Rotate) -> tuple[KeyGroup, ...]:
        """Return the window's key groups; empty: all keys under the causal mask.

        Args:
            positions_T: Positions of the context, from 0 on.
            rotate: The scheme's rotation at any positions.
        """
        return ()


def far(size: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mask of the keys before the last `size` ones."""
    return lambda queries_Q1, keys_1K: queries_Q1 - keys_1K >= size
