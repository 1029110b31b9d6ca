"""What the windows of `perturbed` read."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.perturbed import KEPT, LENGTHS, SETTINGS
from helpers.protocol_properties import Corpus, random_corpus

from posext.eval.perturbation import DROPPED, REPLACED, SHUFFLED
from posext.eval.protocols import PROTOCOLS
from posext.eval.scoring import read


def windows_of(change, kept, settings, corpus):
    plan = PROTOCOLS["perturbed"](corpus, LENGTHS, settings)
    return [w for w in plan.windows[kept] if w.perturbation and w.perturbation.change == change]


def test_perturbed_changes_far_text_alone():
    """With several targets a window, the distance counts from the first."""
    settings = replace(SETTINGS, piece=4)
    corpus = Corpus([1000 * n + np.arange(200) for n in range(5)])  # each token names its place
    for kept in KEPT:
        for window in windows_of(SHUFFLED, kept, settings, corpus):
            own = corpus.document(window.document)[window.end - window.length : window.end + 1]
            tokens = read(window, corpus.document)
            changed = np.flatnonzero(tokens != own)
            assert len(tokens) - window.scored - kept - 4 < changed.max() + 1
            assert changed.max() < len(tokens) - window.scored - kept
            assert sorted(tokens) == own.tolist()
        for window in windows_of(REPLACED, kept, settings, corpus):
            tokens = read(window, corpus.document)
            far = len(tokens) - window.scored - kept
            (source,) = set(tokens[:far] // 1000)
            assert source != window.document
            assert (np.diff(tokens[:far]) == 1).all()
            assert set(tokens[far:] // 1000) == {window.document}
        for window in windows_of(DROPPED, kept, settings, corpus):
            tokens = read(window, corpus.document)
            assert len(tokens) == kept + window.scored
            assert tokens[-1] == 1000 * window.document + window.end


def test_perturbed_follows_its_own_seed():
    corpus = random_corpus([200] * 5)

    def texts(seed):
        plan = PROTOCOLS["perturbed"](corpus, LENGTHS, replace(SETTINGS, seed=seed))
        return [read(window, corpus.document).tolist() for window in plan.windows[4]]

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)


def test_perturbed_cuts_windows_of_the_headline_into_pieces():
    """Pieces start where the window starts, and score each target once."""
    corpus = random_corpus([200] * 5)
    settings = replace(SETTINGS, size=8, piece=3)
    whole = PROTOCOLS["fixed_target"](corpus, LENGTHS, settings).windows[64]
    pieces = PROTOCOLS["perturbed"](corpus, LENGTHS, settings).windows[64]
    assert [w.scored for w in pieces] == [3, 3, 2] * len(whole)
    for number, window in enumerate(whole):
        own = pieces[3 * number : 3 * number + 3]
        assert {w.end - w.length for w in own} == {window.end - window.length}
        labels = [label for w in own for label in range(w.labels.start, w.labels.stop)]
        assert labels == [*range(window.labels.start, window.labels.stop)]


def test_perturbed_needs_another_document():
    with pytest.raises(
        ValueError, match=r"needs two held-out documents of 64 tokens.*there is one"
    ):
        PROTOCOLS["perturbed"](random_corpus([200, 63]), LENGTHS, SETTINGS)
