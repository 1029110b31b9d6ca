"""The passkey task for checkpoints that read English: one number in a long text, asked for at its end.

The task of Mohtashami and Jaggi (2023, arXiv:2305.16300), in sentences of our own.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from posext.data.dataset import Data
from posext.data.recall.episode import RecallSettings
from posext.eval.retrieval.measure import CONDITIONS, MEASURED, answers, row
from posext.utils.errors import PosextError

TASK = "This is a long text about nothing much. One line of it states a number; the last line wants it back.\n"
FILLER = " Clouds move over the hills. A boat lies by the river. Someone closes a window, and the road is empty again."
NEEDLE = " The pass key of the day is {key}. Whoever reads this should keep {key} in mind."
QUESTION = "\nWhich number was to be kept in mind? The pass key of the day is"
ANSWER = " {key}"

Tokenize = Callable[[str], Sequence[int]]


class Passkey(NamedTuple):
    tokens: np.ndarray  # int64: the text, then the answer
    answer: int  # tokens of it, at the end
    distance: int  # tokens from the end of the line that states the number to the answer


def passkey(
    tokenize: Tokenize, length: int, depth: float, index: int, seed: int = 0, control: bool = False
) -> Passkey:
    """A text of which at most `length` tokens are read, with five digits stated at a depth between 0 and 1.

    It is as long as whole lines of filler allow, and a pure function of its arguments. As a control it states another number.
    `tokenize` turns text into ids; it may put a token first, but none last. Raises PosextError for a length without room.
    """
    key, other = np.random.default_rng([seed, index]).choice(
        np.arange(10_000, 100_000), size=2, replace=False
    )
    needle, answer = NEEDLE.format(key=other if control else key), ANSWER.format(key=key)

    def parts(count: int) -> tuple[str, str]:
        before = round(depth * count)
        return TASK + FILLER * before + needle, FILLER * (count - before) + QUESTION

    def read(count: int) -> int:
        return len(tokenize("".join(parts(count)) + answer)) - 1

    count = max(0, (length - read(0)) // max(1, read(2) - read(1)) + 1)
    while count and read(count) > length:
        count -= 1
    if read(count) > length:
        raise PosextError(f"the passkey needs a context of at least {read(0)} tokens, not {length}")
    head, tail = parts(count)
    prompt, whole = tokenize(head + tail), tokenize(head + tail + answer)
    asked = next(
        (i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt)
    )
    return Passkey(np.array(whole, dtype=np.int64), len(whole) - asked, asked - len(tokenize(head)))


@torch.inference_mode()
def measure_passkey(
    model: Callable[..., object],
    tokens: Data,
    lengths: Sequence[int],
    settings: RecallSettings | None = None,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Rows as those of `measure`, of the settings' depths, trials and seed: all digits right, as likeliest tokens.

    Texts of one length differ by some tokens, so each is a batch of its own. Lengths without room are left out.
    """
    chosen, rows = settings or RecallSettings(), []

    def tokenize(text: str) -> list[int]:
        return tokens.tokenizer.encode(text).ids

    room = (
        max(
            len(tokenize(TASK + NEEDLE.format(key=key) + QUESTION + ANSWER.format(key=key)))
            for key in (10101, 98765)
        )
        + 1
    )
    lengths = [length for length in lengths if length >= room]
    for length, depth, condition in product(lengths, chosen.depths, CONDITIONS):
        control = condition == "control"
        drawn = [
            passkey(tokenize, length, depth, i, chosen.seed, control) for i in range(chosen.trials)
        ]
        scored = [answers(model, text.tokens[None], text.answer, 1, device) for text in drawn]
        right, nll = (np.concatenate(column) for column in zip(*scored, strict=True))
        rows.append(row(length, depth, drawn[0].distance, condition, right, nll))
    return pd.DataFrame(rows, columns=MEASURED)
