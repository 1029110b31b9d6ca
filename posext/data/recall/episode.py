"""Episodes of associative recall: key-value pairs in held-out text, then one key again.

The answer is found as by natural induction: find the earlier occurrence of the key, continue as
it continued. Such a task ranks architectures as their language modelling does (Arora et al. 2023,
arXiv:2312.04927).

Shape suffixes: L context length, P pairs, K tokens of a key, N tokens of a pair, F tokens of
filler.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from posext.data.recall.pool import SIZE, Pool
from posext.data.split import Split
from posext.utils.errors import PosextError
from posext.utils.ranges import Count, checked


@dataclass(frozen=True)
class RecallSettings:
    """The grid of episodes, and their form."""

    # of the queried pair: 0 is the start of the context, 1 is next to the query
    depths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    trials: int = 32  # for each length, depth and condition
    key: int = 2  # tokens
    value: int = 2  # tokens
    # at most, with the queried one; alone, its value would be the only candidate
    pairs: int = 4
    seed: int = 0  # of the episodes, independent of the model's

    def __post_init__(self) -> None:
        """Raise PosextError for an invalid setting, naming the value and the valid ones."""
        for name in ("trials", "key", "value", "pairs"):
            checked(name, getattr(self, name), Count)
        if not self.depths or not all(0 <= depth <= 1 for depth in self.depths):
            raise PosextError(f"depths must lie between 0 and 1, not {self.depths}")
        if self.pairs * self.pair + self.key > SIZE:
            raise PosextError(
                f"{self.pairs} pairs of {self.pair} tokens and another key need more than "
                f"the {SIZE} tokens there are"
            )

    @property
    def pair(self) -> int:
        """Tokens of a pair."""
        return self.key + self.value

    @property
    def shortest(self) -> int:
        """The shortest context that has room for a pair and the query, in tokens."""
        return 2 * self.pair - 1


class Episode(NamedTuple):
    """A context and its query, then the value, whose tokens are scored.

    The model reads all but the last token.
    """

    needle: np.ndarray  # int64 (L + 1,)
    control: np.ndarray  # the same with another key on the pair: its value is no longer the answer
    start: int  # position of the pair
    distance: int  # tokens from the pair's value to the queried value


def episode(
    split: Split, pool: Pool, settings: RecallSettings, length: int, depth: float, index: int
) -> Episode:
    """Make an episode: a pure function of the arguments, independent of the model.

    At one length, all depths have the same text, keys and values. All tokens of keys and values
    differ, and the most common token replaces them in the text. So the key occurs twice in the
    context (once in the control), and the value's tokens only in the pair and after the query.

    Args:
        split: The documents that the text is taken from.
        pool: The tokens that keys and values are drawn from.
        settings: The form of the episode.
        length: The context length, in tokens.
        depth: The depth of the queried pair, 0 to 1.
        index: The number of the trial.

    Raises:
        PosextError: The length is too short for the settings, or too long for the documents.
    """
    if length < settings.shortest:
        raise PosextError(
            f"recall needs a context of at least {settings.shortest} tokens, not {length}"
        )
    rng = np.random.default_rng([settings.seed, length, index])
    K = settings.key
    N = settings.pair
    body = length + 1 - N
    start = round(depth * (body - N))
    other_places = [*range(start % N, start, N), *range(start + N, body - N + 1, N)]
    P = min(settings.pairs, 1 + len(other_places))
    used = rng.permutation(pool.rare)[: P * N + K]
    other_K = used[:K]
    pairs_PN = used[K:].reshape(P, N)
    filler_F = np.copy(filler(split, rng, body - P * N))
    filler_F[np.isin(filler_F, used)] = pool.common

    starts = [start, *rng.permutation(other_places)[: P - 1]]
    context = np.empty(body, dtype=np.int64)
    is_text = np.ones(body, dtype=bool)
    for first, pair in zip(starts, pairs_PN, strict=True):
        context[first : first + N] = pair
        is_text[first : first + N] = False
    context[is_text] = filler_F
    needle = np.concatenate([context, pairs_PN[0]])
    control = needle.copy()
    control[start : start + K] = other_K
    return Episode(needle, control, start, body - start)


def filler(split: Split, rng: np.random.Generator, count: int) -> np.ndarray:
    """Return `count` consecutive tokens of a random document that is long enough.

    Raises PosextError if none is.
    """
    candidates = np.flatnonzero(split.lengths >= count)
    if not len(candidates):
        longest = int(split.lengths.max(initial=0))
        raise PosextError(
            f"no held-out document has {count} tokens to hide a pair in; the longest has {longest}"
        )
    document = int(rng.choice(candidates))
    first = int(rng.integers(split.lengths[document] - count + 1))
    return split.document(document)[first : first + count]
