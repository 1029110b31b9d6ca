"""Text of held-out documents that stands in training documents too."""

import numpy as np
import pytest
from helpers.splits import split_of

from posext.data import shared_text
from posext.data.shared_text import STRETCH, shared_share
from posext.data.split import Split

RNG = np.random.default_rng(0)


def text(length: int) -> np.ndarray:
    return RNG.integers(2000, size=length)


def test_shared_share_counts_the_stretches_of_copies_at_any_offset():
    """Of 3 + 5 stretches, those of the second document are in the middle of a training text."""
    one, two = text(3 * STRETCH), text(5 * STRETCH)
    training = split_of(text(500), np.concatenate([text(77), two, text(9)]), text(10))
    assert shared_share(split_of(one, two), training) == pytest.approx(5 / 8)
    assert shared_share(split_of(one), training) == 0
    assert shared_share(split_of(two, two), training) == 1


def test_shared_share_counts_a_copy_of_part_of_a_document():
    one = text(10 * STRETCH)
    training = split_of(one[4 * STRETCH : 7 * STRETCH])
    assert shared_share(split_of(one), training) == pytest.approx(3 / 10)
    assert shared_share(split_of(one), split_of(one[1 : STRETCH + 1])) == 0


def test_shared_share_reads_training_documents_alone():
    """What stands between them in the tokens, or across two of them, does not count."""
    one, two = text(2 * STRETCH), text(2 * STRETCH)
    tokens = np.concatenate([one, two])
    held_out = split_of(two)
    assert shared_share(held_out, Split(tokens, np.array([0]), np.array([len(one)]), ["a"])) == 0
    middle = len(one) + STRETCH + 5
    starts, lengths = np.array([0, middle]), np.array([middle, len(tokens) - middle])
    assert shared_share(held_out, Split(tokens, starts, lengths, ["a", "b"])) == 0.5


def test_shared_share_finds_copies_across_blocks(monkeypatch):
    monkeypatch.setattr(shared_text, "POSITIONS_AT_ONCE", 50)
    one = text(40 * STRETCH)
    assert shared_share(split_of(one[: 30 * STRETCH]), split_of(text(33), one)) == 1


def test_shared_share_looks_up_a_sample_of_many_stretches(monkeypatch):
    monkeypatch.setattr(shared_text, "MOST_STRETCHES", 100)
    one = text(1000 * STRETCH)
    share = shared_share(split_of(one), split_of(one[: 500 * STRETCH]))
    assert share == pytest.approx(0.5, abs=0.02)


def test_shared_share_of_documents_too_short_is_zero():
    assert shared_share(split_of(text(STRETCH - 1)), split_of(text(100))) == 0
