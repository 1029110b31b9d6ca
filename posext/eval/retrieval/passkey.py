"""Passkey task for checkpoints that read English: a number in a long text, requested at its end.

The task is that of Mohtashami and Jaggi (2023, arXiv:2305.16300), with newly written sentences.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from posext.data.dataset import Data
from posext.data.recall.episode import RecallSettings
from posext.eval.batch_budget import BatchBudget
from posext.eval.retrieval.measure import CELL_COLUMNS, CONDITIONS, cell_row, score_answers
from posext.utils.errors import PosextError

TASK = (
    "This is a long text about nothing much. "
    "One line of it states a number; the last line wants it back.\n"
)
FILLER = (
    " Clouds move over the hills. A boat lies by the river. "
    "Someone closes a window, and the road is empty again."
)
NEEDLE = " The pass key of the day is {key}. Whoever reads this should keep {key} in mind."
QUESTION = "\nWhich number was to be kept in mind? The pass key of the day is"
ANSWER = " {key}"
SAMPLE_KEYS = (10101, 98765)  # keys whose tokens give the shortest context of the task

Tokenize = Callable[[str], Sequence[int]]


class Passkey(NamedTuple):
    """A text with its answer.

    `tokens` is int64: the text, then the answer. `answer` is the number of tokens of the answer.
    `distance` counts tokens from the end of the line with the number to the answer.
    """

    tokens: np.ndarray
    answer: int
    distance: int


def passkey(
    tokenize: Tokenize, length: int, depth: float, index: int, seed: int = 0, control: bool = False
) -> Passkey:
    """Write a text with a number of five digits, as long as whole lines of filler allow.

    The text is a pure function of the arguments.

    Args:
        tokenize: Function from text to token ids; it may put a token first, but none last.
        length: Largest number of tokens read.
        depth: Relative depth of the line with the number, 0 to 1.
        index: Number of the trial.
        seed: Seed of the keys.
        control: Whether the text states another number than the answer.

    Raises:
        PosextError: The task does not fit in `length` tokens.
    """
    keys = np.arange(10_000, 100_000)
    key, other_key = np.random.default_rng([seed, index]).choice(keys, size=2, replace=False)
    needle = NEEDLE.format(key=other_key if control else key)
    answer = ANSWER.format(key=key)

    def head_and_tail(lines: int) -> tuple[str, str]:
        lines_before = round(depth * lines)
        head = TASK + FILLER * lines_before + needle
        return head, FILLER * (lines - lines_before) + QUESTION

    def tokens_read(lines: int) -> int:
        return len(tokenize("".join(head_and_tail(lines)) + answer)) - 1

    tokens_per_line = max(1, tokens_read(2) - tokens_read(1))
    lines = max(0, (length - tokens_read(0)) // tokens_per_line + 1)
    while lines and tokens_read(lines) > length:
        lines -= 1
    if tokens_read(lines) > length:
        raise PosextError(
            f"the passkey needs a context of at least {tokens_read(0)} tokens, not {length}"
        )
    head, tail = head_and_tail(lines)
    prompt = tokenize(head + tail)
    text = tokenize(head + tail + answer)
    start = common_prefix_length(prompt, text)
    return Passkey(np.array(text, dtype=np.int64), len(text) - start, start - len(tokenize(head)))


def common_prefix_length(prompt: Sequence[int], text: Sequence[int]) -> int:
    """Number of leading tokens that both sequences share, at most the length of the prompt."""
    for index, (token, other) in enumerate(zip(prompt, text, strict=False)):
        if token != other:
            return index
    return len(prompt)


@torch.inference_mode()
def measure_passkey(
    model: Callable[..., object],
    tokens: Data,
    lengths: Sequence[int],
    settings: RecallSettings | None = None,
    budget: BatchBudget | None = None,
) -> pd.DataFrame:
    """Measure the passkey task; an answer is correct if each of its tokens is the most likely one.

    Texts of one length differ by some tokens, so each is a batch of its own.

    Args:
        model: Function from tokens (B, T) to logits, as posext.eval.scoring takes it.
        tokens: Corpus, whose tokenizer encodes the texts.
        lengths: Context lengths; those too short for the task are left out.
        settings: Depths, trials and seed, by default those of `RecallSettings()`.
        budget: As in `measure_task`.

    Returns:
        CELL_COLUMNS, in the form of `measure_task`.
    """
    settings = settings or RecallSettings()
    budget = budget or BatchBudget(None)
    rows = []

    def tokenize(text: str) -> list[int]:
        return tokens.tokenizer.encode(text).ids

    shortest_texts = [
        TASK + NEEDLE.format(key=key) + QUESTION + ANSWER.format(key=key) for key in SAMPLE_KEYS
    ]
    shortest = max(len(tokenize(text)) for text in shortest_texts) + 1
    lengths = [length for length in lengths if length >= shortest]
    for length, depth, condition in product(lengths, settings.depths, CONDITIONS):
        control = condition == "control"
        texts = [
            passkey(tokenize, length, depth, trial, settings.seed, control)
            for trial in range(settings.trials)
        ]
        scored = [
            score_answers(
                model,
                text.tokens[None],
                np.arange(-text.answer, 0),
                text.tokens[None, -text.answer :, None],
                budget,
            )
            for text in texts
        ]
        correct = np.concatenate([correct_of_text for correct_of_text, _ in scored])
        nll = np.concatenate([nll_of_text for _, nll_of_text in scored])
        rows.append(cell_row(length, depth, texts[0].distance, condition, correct, nll))
    return pd.DataFrame(rows, columns=CELL_COLUMNS)
