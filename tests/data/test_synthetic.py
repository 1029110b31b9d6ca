"""Synthetic documents: their law, and that they depend on the settings alone."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from posext.config import CopyData, DataConfig, MarkovData
from posext.data import corpus, dataset, synthetic

MARKOV = MarkovData(vocab_size=5)
COPY = CopyData(vocab_size=32, symbols=32)


def documents(config: DataConfig, **changes) -> np.ndarray:
    return np.stack(list(synthetic.symbol_sequences(replace(config, **changes))))


@pytest.mark.parametrize("config", [MARKOV, COPY], ids=["markov", "copy"])
def test_documents_are_a_pure_function_of_seed_and_index(config):
    first = documents(config, documents=300, document_tokens=600)
    assert first.shape == (300, 600)
    assert np.array_equal(first, documents(config, documents=300, document_tokens=600))
    assert np.array_equal(first[:270], documents(config, documents=270, document_tokens=600))
    assert not np.array_equal(first, documents(config, documents=300, document_tokens=600, seed=1))
    assert len(np.unique(first, axis=0)) == 300


@pytest.mark.parametrize("order", [1, 2])
def test_markov_documents_draw_rows_from_a_dirichlet(order):
    """Exits from one state agree as often as draws from a Dirichlet row.

    Two are the same with probability (a + 1) / (aV + 1), and three with
    (a + 1) (a + 2) / ((aV + 1) (aV + 2)), whatever the chain did between.
    """
    a = 0.7
    V = 3
    chains = documents(
        MARKOV, documents=1500, document_tokens=600, symbols=V, concentration=a, order=order
    )
    triples = []
    for chain in chains.tolist():
        state = tuple(chain[:order])  # recurs within 600 tokens in most chains
        places = [t for t in range(order, 600) if tuple(chain[t - order : t]) == state]
        if len(places) >= 3:
            triples.append([chain[t] for t in places[:3]])
    exits = np.array(triples)
    assert len(exits) > 1400
    two = (a + 1) / (a * V + 1)
    assert (exits[:, 0] == exits[:, 1]).mean() == pytest.approx(two, abs=0.04)
    three = (a + 1) * (a + 2) / ((a * V + 1) * (a * V + 2))
    assert (exits == exits[:, :1]).all(axis=1).mean() == pytest.approx(three, abs=0.04)
    first_symbols = Counter(chains[:, :order].ravel().tolist())
    assert first_symbols[0] / (1500 * order) == pytest.approx(1 / V, abs=0.04)
    assert np.bincount(exits[:, 0]) / len(exits) == pytest.approx(1 / V, abs=0.05)


def test_markov_documents_depend_on_order_symbols_alone():
    """What follows (a, b) differs by a within a document with order 2, but not with order 1."""
    spread = {}
    for order in (1, 2):
        (chain,) = documents(
            MARKOV, documents=1, document_tokens=60_000, symbols=2, concentration=3.0, order=order
        )
        after = [chain[2:][(chain[:-2] == a) & (chain[1:-1] == 0)].mean() for a in (0, 1)]
        spread[order] = abs(after[0] - after[1])
    assert spread[1] < 0.03 < spread[2]


def test_copy_documents_have_uniform_periods_and_symbols():
    repeated = documents(
        COPY, documents=2000, document_tokens=60, symbols=4, period_min=3, period_max=6
    )
    unequal = [(repeated[:, p:] != repeated[:, :-p]).any(axis=1) for p in (3, 4, 5, 6)]
    assert not np.all(unequal, axis=0).any()  # each repeats with one of the periods
    shortest = np.argmin(unequal, axis=0)
    # A block that repeats itself within is rare.
    assert np.bincount(shortest) / 2000 == pytest.approx(0.25, abs=0.04)
    assert np.bincount(repeated[:, :3].ravel()) / 6000 == pytest.approx(0.25, abs=0.03)


def test_load_data_makes_each_symbol_a_token_of_one_byte(tmp_path):
    config = replace(MARKOV, cache=str(tmp_path), documents=300, document_tokens=50)
    tokens = dataset.load_data(config, progress=False)
    expected = dict(enumerate(documents(config)))
    assert tokens.vocab_size == 5
    assert tokens.bytes_per_token.tolist() == [1] * 5
    for split in (tokens.train, tokens.validation):
        for index, name in enumerate(split.names):
            drawn = expected.pop(int(name.removeprefix("markov#")))
            assert np.array_equal(split.document(index), drawn)
    assert not expected
    assert tokens.tokenizer.decode([0, 1, 4]) == "abe"


def test_default_synthetic_corpora_are_large_enough():
    """They have 4M training tokens, and 64 documents for the longest default context."""
    for config in (MARKOV, COPY):
        short = corpus.documents(replace(config, document_tokens=2))
        held_out = [document.validation for document in short]
        assert held_out.count(False) * config.document_tokens > 4_000_000
        assert held_out.count(True) >= 64
        assert config.document_tokens > 16 * 128


def test_fingerprint_follows_every_setting_of_the_law():
    size = {"documents": 10, "document_tokens": 600}
    of_markov = [
        {},
        {"seed": 1},
        {"symbols": 6},
        {"order": 2},
        {"concentration": 0.4},
        {"documents": 11},
    ]
    of_copy = [{}, {"period_min": 9}, {"period_max": 300}]
    configs = [replace(MARKOV, **size | change) for change in of_markov]
    configs += [replace(COPY, **size | change) for change in of_copy]
    assert len({corpus.fingerprint(config) for config in configs}) == len(configs)
