"""What each retrieval task hides in a context and asks for, in words of one token.

The tasks and their names are those of RULER (Hsieh et al. 2024, arXiv:2404.06654), without its
English: a question is the beginning of what was hidden, and the answer is how it went on.

Shape suffixes: W words, M needles, D distractors, N tokens of a span, Q tokens of the question
with its answers, S answers, A tokens that are right in a place.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

ASKED = 4  # pairs, values, links or words that are asked for, in the tasks that ask for several
NO_WORD = -1  # fills `accepted`


class Task(NamedTuple):
    """The spans of a context, and the question at its end. All arrays are int64."""

    needles: np.ndarray  # (M, N) the spans to be found, in this order
    control: np.ndarray  # (M, N) the spans in their places in the control
    distractors: np.ndarray  # (D, N) spans in between; those that fit
    question: np.ndarray  # (Q,) the end of the window, answers included
    scored: np.ndarray  # (S,) the places of the answers in the question
    accepted: np.ndarray  # (S, A) the tokens that are right in these places, or NO_WORD


# from permuted words (W,), a generator, and the context length in tokens
MakeTask = Callable[[np.ndarray, np.random.Generator, int], Task]


class Form(NamedTuple):
    """A task, and where it can be asked."""

    make: MakeTask
    shortest: int  # the shortest context that has room for it, in tokens
    has_depth: bool = True  # whether its needles leave room to stand at several depths


def retrieval(words_W: np.ndarray, rng: np.random.Generator, length: int) -> Task:
    """Hide four pairs of a key and its value, and ask for one."""
    return one_of(words_W[: 2 * ASKED], words_W[-1])


def multi_key(words_W: np.ndarray, rng: np.random.Generator, length: int) -> Task:
    """Hide as many pairs as there are words for, in at most half the context; ask for one."""
    pairs = max(1, min((len(words_W) - 1) // 2, length // 4))
    return one_of(words_W[: 2 * pairs], words_W[-1])


def one_of(words_W: np.ndarray, other_key: int) -> Task:
    """Make pairs of the words, and ask for the value of the first."""
    pairs_DN = words_W.reshape(-1, 2)
    needle_MN = pairs_DN[:1]
    return Task(
        needle_MN,
        with_keys(needle_MN, np.array([other_key])),
        pairs_DN[1:],
        question=pairs_DN[0],
        scored=np.array([1]),
        accepted=needle_MN[:, 1:],
    )


def multi_query(words_W: np.ndarray, rng: np.random.Generator, length: int) -> Task:
    """Hide eight pairs, and ask for four of them, one after the other in any order."""
    pairs_DN = words_W[: 4 * ASKED].reshape(-1, 2)
    needles_MN = pairs_DN[:ASKED]
    asked_MN = rng.permutation(needles_MN)
    return Task(
        needles_MN,
        with_keys(needles_MN, words_W[-ASKED:]),
        pairs_DN[ASKED:],
        question=asked_MN.reshape(-1),
        scored=1 + 2 * np.arange(ASKED),
        accepted=asked_MN[:, 1:],
    )


def multi_value(words_W: np.ndarray, rng: np.random.Generator, length: int) -> Task:
    """Hide one key with four values, and ask for it four times.

    Each time any of its values is right that was not given yet. Four other pairs stand around.
    """
    key, values_M = words_W[0], words_W[1 : 1 + ASKED]
    needles_MN = np.stack([np.full(ASKED, key), values_M], axis=1)
    others_DN = words_W[1 + ASKED : 1 + 3 * ASKED].reshape(-1, 2)
    asked_MN = rng.permutation(needles_MN)
    return Task(
        needles_MN,
        with_keys(needles_MN, np.full(ASKED, words_W[-1])),
        others_DN,
        question=asked_MN.reshape(-1),
        scored=1 + 2 * np.arange(ASKED),
        accepted=not_given_yet(asked_MN[:, 1]),
    )


def variable_tracking(words_W: np.ndarray, rng: np.random.Generator, length: int) -> Task:
    """Hide a chain of four assignments and ask for all names, from the value on.

    A link (a, b) says that b takes what a has. The links of another chain stand around.
    """
    names_S, others_S = words_W[: 2 * (ASKED + 1)].reshape(2, -1)
    links_MN = np.stack([names_S[:-1], names_S[1:]], axis=1)
    return Task(
        links_MN,
        with_keys(links_MN, words_W[-ASKED:]),
        np.stack([others_S[:-1], others_S[1:]], axis=1),
        question=names_S,
        scored=1 + np.arange(ASKED),
        accepted=names_S[1:, None],
    )


def common_words(words_W: np.ndarray, rng: np.random.Generator, length: int) -> Task:
    """Fill the context with words, half of them the same four, and ask for these in any order.

    The other words take turns. In the control they fill the context alone.
    """
    common_S, others = words_W[:ASKED], words_W[ASKED:]
    room = length + 1 - ASKED
    times = room // (2 * ASKED)
    order = rng.permutation(room)
    filled = np.concatenate([np.repeat(common_S, times), np.resize(others, room - ASKED * times)])
    asked_S = rng.permutation(common_S)
    return Task(
        filled[order][:, None],
        np.resize(others, room)[order][:, None],
        np.empty((0, 1), dtype=np.int64),
        question=asked_S,
        scored=np.arange(ASKED),
        accepted=not_given_yet(asked_S),
    )


def with_keys(needles_MN: np.ndarray, keys_M: np.ndarray) -> np.ndarray:
    """Replace the first tokens of spans: (M, N)."""
    return np.concatenate([keys_M[:, None], needles_MN[:, 1:]], axis=1)


def not_given_yet(answers_S: np.ndarray) -> np.ndarray:
    """Return the answers that are still to come in each place, or NO_WORD: (S, S)."""
    is_to_come_SS = np.arange(len(answers_S)) >= np.arange(len(answers_S))[:, None]
    return np.where(is_to_come_SS, answers_S, NO_WORD)


TASKS = {
    "retrieval": Form(retrieval, shortest=3),
    "multi_key": Form(multi_key, shortest=3),
    "multi_query": Form(multi_query, shortest=4 * ASKED - 1),
    "multi_value": Form(multi_value, shortest=4 * ASKED - 1),
    "variable_tracking": Form(variable_tracking, shortest=3 * ASKED),
    "common_words": Form(common_words, shortest=5 * ASKED - 1, has_depth=False),
}
