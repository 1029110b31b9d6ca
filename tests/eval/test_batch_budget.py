"""Batches of an evaluation on fake devices that hold no more than some tokens at once."""

import logging

import numpy as np
import pytest
import torch
from helpers.memory import limited

from posext.eval import batch_budget
from posext.eval.batch_budget import BatchBudget
from posext.eval.scoring import TargetWindow, score_windows
from posext.utils.errors import PosextError

DOCUMENT = np.random.default_rng(0).integers(0, 30, size=400)


def summing(tokens_bt: torch.Tensor) -> torch.Tensor:
    """A model whose logits follow from the tokens read."""
    read = tokens_bt.cumsum(dim=1) % 30
    return torch.nn.functional.one_hot(read, 30) * 2.0


def scored(limit: int, tokens: int | BatchBudget) -> tuple[list[int], list[np.ndarray]]:
    model, batches = limited(summing, limit)
    windows = [TargetWindow(0, end, length, 5) for length in (20, 40) for end in range(100, 130)]
    return batches, score_windows(model, lambda index: DOCUMENT, windows, tokens)


def test_score_windows_halves_batches_that_do_not_fit_and_keeps_that():
    batches, nll = scored(limit=170, tokens=800)
    # 30 windows of 20 tokens, then 15, then 7; those of 40 tokens at 7 * 20 tokens: 3 at a time
    assert batches[:7] == [600, 300, 140, 140, 140, 140, 40]
    assert batches[7:] == [120] * 10
    _, exact = scored(limit=10**9, tokens=1)
    for ours, alone in zip(nll, exact, strict=True):
        np.testing.assert_array_equal(ours, alone)


def test_batch_budget_is_kept_from_one_length_to_the_next():
    budget = BatchBudget(800)
    scored(170, budget)
    assert scored(170, budget)[0][:5] == [140, 140, 140, 140, 40]


def test_score_windows_says_so_when_one_window_does_not_fit():
    with pytest.raises(PosextError, match="a context of 40 tokens does not fit the memory of cpu"):
        scored(30, 800)


def test_score_windows_passes_on_other_errors():
    def broken(tokens_bt):
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        score_windows(broken, lambda index: DOCUMENT, [TargetWindow(0, 100, 20, 5)], 64)


@pytest.mark.parametrize(
    ("free", "windows"), [(80 * 2**30, 64), (16 * 2**30, 64), (2**30, 4), (2**20, 1)]
)
def test_batch_budget_follows_the_free_memory_of_a_gpu(monkeypatch, free, windows):
    monkeypatch.setattr(batch_budget, "free_bytes", lambda device: free)
    assert BatchBudget(None, "cuda").windows(1024) == windows
    assert BatchBudget(32 * 1024, "cuda").windows(1024) == 32  # as it was asked for
    assert BatchBudget(None, "cpu").windows(1024) == 4


def test_free_bytes_counts_what_the_allocator_keeps_unused(monkeypatch):
    for name, value in (("mem_get_info", (100, 900)), ("memory_reserved", 50)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert batch_budget.free_bytes(torch.device("cuda")) == 130


def test_batch_budget_warns_of_a_smaller_batch(caplog):
    with caplog.at_level(logging.WARNING):
        scored(170, 800)
    assert "7 contexts" not in caplog.text
    assert "30 contexts of 20 tokens do not fit" in caplog.text
