"""Episodes of retrieval: what a task hides stands in held-out text, and its question at the end.

The answer is found as by natural induction: find the earlier occurrence of the key, continue as
it continued. Such a task ranks architectures as their language modelling does (Arora et al. 2023,
arXiv:2312.04927).

Shape suffixes: L context length, F tokens of filler, and those of `posext.data.recall.tasks`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from posext.data.recall.pool import Pool
from posext.data.recall.tasks import TASKS
from posext.data.split import Split
from posext.utils.errors import PosextError
from posext.utils.ranges import Count, checked


@dataclass(frozen=True)
class RecallSettings:
    """The grid of episodes."""

    # of the first needle: 0 is the start of the context, 1 leaves room for the needles alone
    depths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    trials: int = 32  # for each length, depth and condition
    seed: int = 0  # of the episodes, independent of the model's

    def __post_init__(self) -> None:
        """Raise PosextError for an invalid setting, naming the value and the valid ones."""
        checked("trials", self.trials, Count)
        if not self.depths or not all(0 <= depth <= 1 for depth in self.depths):
            raise PosextError(f"depths must lie between 0 and 1, not {self.depths}")


class Episode(NamedTuple):
    """A context and its question with the answers.

    The model reads all but the last token.
    """

    needle: np.ndarray  # int64 (L + 1,)
    control: np.ndarray  # the same without what links the question to its answers
    start: int  # position of the first needle
    distance: int  # tokens from the end of the first needle to the first answer
    answers: np.ndarray  # int64 (S,): places of the answers, counted from the window's end, below 0
    accepted: np.ndarray  # int64 (S, A): tokens that are right there, or NO_WORD


def episode(
    split: Split,
    pool: Pool,
    settings: RecallSettings,
    name: str,
    length: int,
    depth: float,
    index: int,
) -> Episode:
    """Make an episode: a pure function of the arguments, independent of the model.

    At one length, all depths have the same text and words. The most common token replaces these
    words in the text. The first needle stands at its depth, the others in order at random places
    after it, and the distractors anywhere.

    Args:
        split: The documents that the text is taken from.
        pool: The words.
        settings: The depths, and the seed.
        name: The task, one of TASKS.
        length: The context length, in tokens.
        depth: The depth of the first needle, 0 to 1.
        index: The number of the trial.

    Raises:
        PosextError: The length is too short for the task, or too long for the documents.
    """
    form = TASKS[name]
    if length < form.shortest:
        raise PosextError(
            f"{name} needs a context of at least {form.shortest} tokens, not {length}"
        )
    rng = np.random.default_rng([settings.seed, length, index])
    words_W = rng.permutation(pool.rare)
    task = form.make(words_W, rng, length)
    M, N = task.needles.shape
    Q = len(task.question)
    body = length + 1 - Q
    start = round(depth * (body - M * N))
    before = range(start % N, start, N)
    after = np.arange(start + N, body - N + 1, N)
    D = min(len(task.distractors), len(before) + len(after) - (M - 1))
    filler_F = np.copy(filler(split, rng, body - (M + D) * N))
    used = (task.needles, task.control, task.distractors, task.question)
    filler_F[np.isin(filler_F, np.concatenate(used, axis=None))] = pool.common

    later = np.sort(rng.choice(len(after), M - 1, replace=False))
    free = np.concatenate([before, np.delete(after, later)]).astype(np.int64)
    starts = np.concatenate([[start], after[later], rng.permutation(free)[:D]])

    def written(needles_MN: np.ndarray) -> np.ndarray:
        spans = np.concatenate([needles_MN, task.distractors[:D]])
        places = starts[:, None] + np.arange(N)
        context = np.empty(body, dtype=np.int64)
        context[np.delete(np.arange(body), places)] = filler_F
        context[places] = spans
        return np.concatenate([context, task.question])

    return Episode(
        written(task.needles),
        written(task.control),
        start,
        body + int(task.scored[0]) - (start + N - 1),
        task.scored - Q,
        task.accepted,
    )


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
