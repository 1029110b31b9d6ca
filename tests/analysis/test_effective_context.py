"""Effective context lengths, from stored sums."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.perturbed import (
    BOOTSTRAP,
    KEPT,
    LENGTHS,
    SETTINGS,
    counting,
    effective,
    rise,
    rises_of,
    voter,
)
from helpers.protocol_properties import Corpus

from posext.analysis import document_sums, effective_context
from posext.eval.perturbation import CHANGES, DROPPED
from posext.eval.protocols import PROTOCOLS
from posext.eval.scoring import score_windows


@pytest.mark.parametrize(("order", "expected"), [(1, 1), (2, 2), (3, 4), (4, 4)])
def test_effective_context_on_a_markov_chain_is_its_order(order, expected, tmp_path):
    """For a model that knows the law: the smallest distance measured that holds the order."""
    rng = np.random.default_rng(order)
    symbols = 3
    law = rng.dirichlet(np.full(symbols, 0.3), size=(symbols,) * order)

    def draw(count):
        tokens = rng.integers(0, symbols, order).tolist()
        while len(tokens) < count:
            tokens.append(int(rng.choice(symbols, p=law[tuple(tokens[-order:])])))
        return np.array(tokens)

    def model(tokens):
        """Give the law's probabilities, averaged over what is not in the context."""
        logits = torch.zeros(*tokens.shape, symbols)
        for place in range(tokens.shape[1]):
            known = min(order, place + 1)
            mean = torch.from_numpy(law.mean(axis=tuple(range(order - known))))
            last = tokens[:, place + 1 - known : place + 1]
            logits[:, place] = mean[tuple(last.T)].clamp(min=1e-9).log()
        return logits

    corpus = Corpus([draw(200) for _ in range(20)])
    for curve in rises_of(tmp_path, model, corpus).values():
        assert effective(curve) == expected


def test_effective_context_has_the_interval_of_resampled_documents():
    """Some documents read 8 tokens and some 2, and all is counted again in each resample."""
    intact_D = np.full(12, 100.0)
    reads_far_D = np.arange(12) % 6 == 0
    nll_ND = np.stack([intact_D + 30, intact_D + 6 * reads_far_D, intact_D])
    curve = effective_context.RiseCurve(None, DROPPED, [1, 2, 8], nll_ND, intact_D, np.full(12, 50))
    estimate = curve.effective(0.01, BOOTSTRAP)
    by_hand = []
    for draws_D in BOOTSTRAP.draws(12):
        mean_rise = draws_D @ (6.0 * reads_far_D) / 12
        by_hand.append(2 if mean_rise < 1 else 8)
    assert estimate.value == 8
    assert (estimate.low, estimate.high) == (2, 8)
    assert sorted(by_hand)[4] == 2
    assert sorted(by_hand)[194] == 8


def test_effective_context_needs_all_longer_distances():
    nll_SN = np.array([[4.0, 2.5, 2.0], [2.0, 2.5, 2.0], [2.0, 2.0, 2.0], [4.0, 4.0, 2.03]])
    lengths = effective_context.effective_length([1, 2, 4], nll_SN, np.full(4, 2.0), 0.01)
    assert lengths.tolist() == [4, 4, 1, math.inf]


def test_perturbed_is_redone_from_its_sums(tmp_path):
    """The rises of stored sums are those of the targets themselves."""
    model, corpus = voter(8), counting()
    plan = PROTOCOLS["perturbed"](corpus, LENGTHS, SETTINGS)
    (intact,) = [np.concatenate(score_windows(model, corpus.document, plan.windows[64], 4096))]
    curves_of = rises_of(tmp_path, model, corpus)
    for number, kept in enumerate(KEPT):
        nll = score_windows(model, corpus.document, plan.windows[kept], 4096)
        by_change = np.concatenate(nll).reshape(len(CHANGES), -1).mean(1) - intact.mean()
        stored = [rise(curves_of[change])[number] for change in CHANGES]
        assert stored == pytest.approx(by_change, abs=1e-6)


def stored_curve(nll_by_length, documents=12):
    """A curve of so many nats a token at each length, on 50 tokens of each document."""
    sums = {
        length: pd.DataFrame(
            {"nll": 50.0 * np.broadcast_to(nll, documents), "tokens": 50, "bytes": 150},
            index=pd.Index([f"d{n}" for n in range(documents)], name="document"),
        )
        for length, nll in nll_by_length.items()
    }
    return document_sums.StoredCurve((Path(), "mine"), pd.DataFrame(), sums, None)


@pytest.mark.parametrize(
    ("nll", "expected"),
    [
        ([3.0, 2.5, 2.02, 2.0], 64),  # within 1 % is below 2.02
        ([3.0, 2.5, 2.019, 2.0], 32),
        ([2.0, 2.5, 2.01, 2.0], 32),  # once within, and then not
        ([2.0, 2.0, 2.0, 2.0], 8),
        ([3.0, 2.5, 1.97, 2.0], None),  # a shorter context is better
        ([3.0, 2.5, 1.99, 2.0], 32),
    ],
)
def test_effective_size_is_the_shortest_context_that_is_enough(nll, expected):
    curve = stored_curve(dict(zip([8, 16, 32, 64], nll, strict=True)))
    size = effective_context.effective_size(curve, BOOTSTRAP)
    assert size == (None if expected is None else (expected, expected, expected))


def test_effective_size_has_the_interval_of_resampled_documents():
    """As that of the distances above, for the same documents."""
    reads_far_D = np.arange(12) % 6 == 0
    curve = stored_curve({2: 2.0 + 0.12 * reads_far_D, 8: 2.0})
    assert effective_context.effective_size(curve, BOOTSTRAP) == (8, 2, 8)
    assert effective_context.size_text(effective_context.effective_size(curve, BOOTSTRAP)) == (
        "8 (2 to 8)"
    )


def test_effective_size_of_one_document_has_no_interval():
    size = effective_context.effective_size(stored_curve({2: 3.0, 8: 2.0}, 1), BOOTSTRAP)
    assert effective_context.size_text(size) == "8 (no interval)"
    assert effective_context.effective_size(stored_curve({8: 2.0}), BOOTSTRAP) is None
