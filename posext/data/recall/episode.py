"""One trial of associative recall: pairs of a key and a value hidden in held-out text, then one key again.

Natural induction does it: find where the key stood, say what followed. A task of this form ranks architectures as their
language modelling does (Arora et al. 2023, arXiv:2312.04927).

Shape suffixes: L context length, P pairs, K tokens of a key, N tokens of a pair, F tokens of filler.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from posext.data.dataset import Split
from posext.data.recall.pool import SIZE, Pool
from posext.utils.errors import PosextError


@dataclass(frozen=True)
class RecallSettings:
    depths: tuple[float, ...] = (
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
    )  # of the pair: 0 begins the context, 1 is next to the query
    trials: int = 32  # for each length, depth and condition
    key: int = 2  # tokens
    value: int = 2  # tokens
    pairs: int = (
        4  # at most, with the one that is asked for: without others the only value there would do
    )
    seed: int = 0  # of the episodes; never the model's

    def __post_init__(self) -> None:
        """Raises PosextError for a setting that gives no episode, naming the value and what would do."""
        for name in ("trials", "key", "value", "pairs"):
            if getattr(self, name) < 1:
                raise PosextError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.depths or not all(0 <= depth <= 1 for depth in self.depths):
            raise PosextError(f"depths must lie between 0 and 1, not {self.depths}")
        if self.pairs * self.pair + self.key > SIZE:
            raise PosextError(
                f"{self.pairs} pairs of {self.pair} tokens and another key need more than the {SIZE} tokens there are"
            )

    @property
    def pair(self) -> int:
        return self.key + self.value

    @property
    def shortest(self) -> int:
        """The shortest context that holds a pair and the query, in tokens."""
        return 2 * self.pair - 1


class Episode(NamedTuple):
    """A context and its query, then the value, whose tokens are scored; all but the last token are read."""

    needle: np.ndarray  # int64 (L + 1,)
    control: np.ndarray  # the same, but the pair has another key: the value is there, and nothing says that it is the answer
    start: int  # where the pair begins
    distance: int  # tokens from the pair's value to the value that is asked for


def episode(
    split: Split, pool: Pool, settings: RecallSettings, length: int, depth: float, index: int
) -> Episode:
    """Episode `index` at a context length and depth: a pure function of its arguments, whatever the model.

    At one length all depths have the same text, keys and values. All tokens of keys and values differ, and where the text
    itself has one of them the commonest token stands instead. So the key stands in the context twice (control: once), and
    the value's tokens nowhere but in the pair and after the query. Raises PosextError for a length that the settings or the
    documents do not admit.
    """
    if length < settings.shortest:
        raise PosextError(
            f"recall needs a context of at least {settings.shortest} tokens, not {length}"
        )
    rng = np.random.default_rng([settings.seed, length, index])
    body, K, N = length + 1 - settings.pair, settings.key, settings.pair
    start = round(depth * (body - N))
    free = [
        *range(start % N, start, N),
        *range(start + N, body - N + 1, N),
    ]  # where another pair fits
    P = min(settings.pairs, 1 + len(free))
    drawn = rng.permutation(pool.rare)[: P * N + K]
    pairs_PN, other_K = drawn[K:].reshape(P, N), drawn[:K]
    filler_F = np.copy(filler(split, rng, body - P * N))
    filler_F[np.isin(filler_F, drawn)] = pool.common

    starts = [start, *rng.permutation(free)[: P - 1]]
    context = np.empty(body, dtype=np.int64)
    text = np.ones(body, dtype=bool)
    for first, pair in zip(starts, pairs_PN, strict=True):
        context[first : first + N], text[first : first + N] = pair, False
    context[text] = filler_F
    needle = np.concatenate([context, pairs_PN[0]])
    control = needle.copy()
    control[start : start + K] = other_K
    return Episode(needle, control, start, body - start)


def filler(split: Split, rng: np.random.Generator, count: int) -> np.ndarray:
    """`count` tokens in a row from a document that holds them. Raises PosextError where none does."""
    held = np.flatnonzero(split.lengths >= count)
    if not len(held):
        longest = int(split.lengths.max(initial=0))
        raise PosextError(
            f"no held-out document has {count} tokens to hide a pair in; the longest has {longest}"
        )
    document = int(rng.choice(held))
    first = int(rng.integers(split.lengths[document] - count + 1))
    return split.document(document)[first : first + count]
