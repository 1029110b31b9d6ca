"""What a task is: its vocabulary, its examples of a length, and what a guess would reach.

Shape suffixes: R examples of one length, T tokens, Q tokens of a question, A of an answer.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

IGNORED = -100  # a label that is not scored; torch's cross_entropy leaves it out
PAD, START, EQUALS, END = range(4)
SPECIAL = ("<pad>", "<s>", "=", ".")  # the first words of every vocabulary


class Examples(NamedTuple):
    """Examples of one length: tokens read, and the token to predict after each or IGNORED.

    Both are int64 (R, T).
    """

    tokens_RT: np.ndarray
    labels_RT: np.ndarray


class Task(ABC):
    """A task: a vocabulary, and a law of examples.

    Args:
        reach: The longest example for which there are symbols.

    Attributes:
        layout: Increased when the examples of a seed change.
        shortest: The shortest length of an example.
        marks: Words that structure a question or an answer.
        symbols: Words of the items, last in the vocabulary; what an answer says is one of them.
    """

    layout: int = 1
    shortest: int = 1
    marks: tuple[str, ...] = ()
    symbols: tuple[str, ...]

    def __init__(self, reach: int):
        self.reach = reach

    @property
    def words(self) -> list[str]:
        """The words of the vocabulary, by token."""
        return [*SPECIAL, *self.marks, *self.symbols]

    @property
    def first(self) -> int:
        """The token of the first symbol."""
        return len(SPECIAL) + len(self.marks)

    @abstractmethod
    def draw(self, length: int, rows: int, rng: np.random.Generator) -> Examples:
        """Draw independent examples of a length."""

    @abstractmethod
    def chance(self, length: int) -> float:
        """Return the expected share of an answer's symbols that a guess gets right.

        It is the best guess that knows the length, and what stands of the answer in the tokens read
        before, but nothing of the question.
        """


def scored(text_RT: np.ndarray, is_scored_RT: np.ndarray) -> Examples:
    """Return texts as examples in which some of the tokens are to be predicted."""
    starts_R1 = np.full((len(text_RT), 1), START)
    tokens_RT = np.concatenate([starts_R1, text_RT[:, :-1]], axis=1)
    return Examples(tokens_RT, np.where(is_scored_RT, text_RT, IGNORED))


def tagged(items_RT: np.ndarray, labels_RN: np.ndarray) -> Examples:
    """Return items as examples in which each of the last N has a label, which is not read."""
    edge = items_RT.shape[1] + 1 - labels_RN.shape[1]
    starts_R1 = np.full((len(items_RT), 1), START)
    labels_RT = np.pad(labels_RN, ((0, 0), (edge, 0)), constant_values=IGNORED)
    return Examples(np.concatenate([starts_R1, items_RT], axis=1), labels_RT)


def answered(question_RQ: np.ndarray, answer_RA: np.ndarray) -> Examples:
    """Return questions, each with an equals sign and its answer, all of which is scored."""
    equals_R1 = np.full((len(question_RQ), 1), EQUALS)
    text_RT = np.concatenate([question_RQ, equals_R1, answer_RA], axis=1)
    return scored(text_RT, np.arange(text_RT.shape[1]) > question_RQ.shape[1])


def ended(answer_RA: np.ndarray) -> np.ndarray:
    """Return answers with the token that ends each, (R, A + 1)."""
    return np.concatenate([answer_RA, np.full((len(answer_RA), 1), END)], axis=1)
