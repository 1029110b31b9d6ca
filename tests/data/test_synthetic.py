"""Documents that are drawn: their law, and that they hang on nothing but the settings."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from posext.config import DataConfig
from posext.data import corpus, dataset, synthetic

MARKOV = DataConfig(source="markov", tokenizer="letters", vocab_size=5)
COPY = DataConfig(source="copy", tokenizer="letters", vocab_size=32, symbols=32)


def documents(config: DataConfig, **changes) -> np.ndarray:
    return np.stack(list(synthetic.documents(replace(config, **changes))))


@pytest.mark.parametrize("config", [MARKOV, COPY], ids=["markov", "copy"])
def test_documents_are_a_pure_function_of_the_seed_and_their_index(config):
    some = documents(config, documents=300, document_tokens=600)
    assert some.shape == (300, 600)
    assert np.array_equal(some, documents(config, documents=300, document_tokens=600))
    assert np.array_equal(some[:270], documents(config, documents=270, document_tokens=600))
    assert not np.array_equal(some, documents(config, documents=300, document_tokens=600, seed=1))
    assert len(np.unique(some, axis=0)) == 300


@pytest.mark.parametrize("order", [1, 2])
def test_two_exits_from_a_state_agree_as_often_as_two_draws_from_a_dirichlet_row(order):
    """P(same) = (a + 1) / (a V + 1), and of three (a + 1) (a + 2) / ((a V + 1) (a V + 2)), whatever the chain did between."""
    a, V = 0.7, 3
    chains = documents(
        MARKOV, documents=1500, document_tokens=600, symbols=V, concentration=a, order=order
    )
    exits = [[] for _ in chains]
    for found, chain in zip(exits, chains.tolist(), strict=True):
        state = tuple(chain[:order])  # recurs within 600 tokens but in few chains
        places = [t for t in range(order, 600) if tuple(chain[t - order : t]) == state]
        found += [chain[t] for t in places[:3]]
    triples = np.array([found for found in exits if len(found) == 3])
    assert len(triples) > 1400
    assert (triples[:, 0] == triples[:, 1]).mean() == pytest.approx((a + 1) / (a * V + 1), abs=0.04)
    three = (a + 1) * (a + 2) / ((a * V + 1) * (a * V + 2))
    assert (triples == triples[:, :1]).all(axis=1).mean() == pytest.approx(three, abs=0.04)
    assert Counter(chains[:, :order].ravel().tolist())[0] / (1500 * order) == pytest.approx(
        1 / V, abs=0.04
    )
    assert np.bincount(triples[:, 0]) / len(triples) == pytest.approx(1 / V, abs=0.05)


def test_the_next_symbol_hangs_on_order_symbols_and_no_more():
    """With order 2, what follows (a, b) differs by a within a document; with order 1 it does not."""
    spread = {}
    for order in (1, 2):
        (chain,) = documents(
            MARKOV, documents=1, document_tokens=60_000, symbols=2, concentration=3.0, order=order
        )
        after = [chain[2:][(chain[:-2] == a) & (chain[1:-1] == 0)].mean() for a in (0, 1)]
        spread[order] = abs(after[0] - after[1])
    assert spread[1] < 0.03 < spread[2]


def test_a_copied_block_has_a_uniform_period_and_uniform_symbols():
    repeated = documents(
        COPY, documents=2000, document_tokens=60, symbols=4, period_min=3, period_max=6
    )
    unequal = [(repeated[:, p:] != repeated[:, :-p]).any(axis=1) for p in (3, 4, 5, 6)]
    assert not np.all(unequal, axis=0).any()  # each repeats with one of the periods
    found = np.argmin(unequal, axis=0)
    assert np.bincount(found) / 2000 == pytest.approx(
        0.25, abs=0.04
    )  # a block that repeats itself is rare
    assert np.bincount(repeated[:, :3].ravel()) / 6000 == pytest.approx(0.25, abs=0.03)


def test_a_token_is_a_symbol_and_a_byte(tmp_path):
    config = replace(MARKOV, cache=str(tmp_path), documents=300, document_tokens=50)
    tokens = dataset.load_data(config, progress=False)
    expected = dict(enumerate(documents(config)))
    assert tokens.vocab_size == 5
    assert tokens.bytes_per_token.tolist() == [1] * 5
    for split in (tokens.train, tokens.validation):
        for index, name in enumerate(split.names):
            assert np.array_equal(
                split.document(index), expected.pop(int(name.removeprefix("markov#")))
            )
    assert not expected
    assert tokens.tokenizer.decode([0, 1, 4]) == "abe"


def test_the_default_corpora_hold_4m_training_tokens_and_64_documents_for_the_longest_default_context():
    for config in (MARKOV, COPY):
        held_out = [
            document.validation for document in corpus.documents(replace(config, document_tokens=2))
        ]
        assert held_out.count(False) * config.document_tokens > 4_000_000
        assert held_out.count(True) >= 64
        assert config.document_tokens > 16 * 128


def test_the_fingerprint_follows_every_setting_of_the_law():
    small = {"documents": 10, "document_tokens": 600}
    changes = [
        {},
        {"seed": 1},
        {"symbols": 6},
        {"order": 2},
        {"concentration": 0.4},
        {"documents": 11},
    ]
    found = {corpus.fingerprint(replace(MARKOV, **small | change)) for change in changes}
    found |= {
        corpus.fingerprint(replace(COPY, **small | c))
        for c in ({}, {"period_min": 9}, {"period_max": 300})
    }
    assert len(found) == len(changes) + 3


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["data=markov", "data.symbols=1"], "data.symbols must lie between 2 and 62, not 1"),
        (["data=copy", "data.symbols=63"], "data.symbols must lie between 2 and 62, not 63"),
        (["data=markov", "data.order=0"], "data.order must be at least 1, not 0"),
        (["data=markov", "data.order=6"], "data.order must be at most 5 with 5 symbols, not 6"),
        (
            ["data=markov", "data.concentration=0"],
            "data.concentration must be a number above 0, not 0",
        ),
        (["data=markov", "data.seed=-1"], "data.seed must be at least 0, not -1"),
        (
            ["data=copy", "data.period_max=15"],
            "data.period_max must be at least data.period_min=16, not 15",
        ),
        (["data=markov", "data.tokenizer=bpe"], "data=markov does not go with data.tokenizer=bpe"),
        (
            ["data=python", "data.tokenizer=letters"],
            "data=python does not go with data.tokenizer=letters",
        ),
        (["data=markov", "data.vocab_size=7"], "data.vocab_size must be data.symbols=5, not 7"),
        (["data=markov", "data.documents=0"], "data.documents must be at least 1, not 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_law_that_cannot_be_drawn_from_is_refused(command, typed, says):
    code, _, err = command("train", "+pe=rope", *typed)
    assert (code, says in err, len(err.splitlines())) == (2, True, 1), err
