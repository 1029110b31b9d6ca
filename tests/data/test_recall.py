"""Episodes of recall, and recall pairs mixed into training batches."""

import numpy as np
import pytest
import torch

from posext.config import TextData
from posext.data import dataset
from posext.data.recall.episode import RecallSettings, episode
from posext.data.recall.mixing import batch
from posext.data.recall.pool import pool_of

SETTINGS = RecallSettings(trials=12)


@pytest.fixture(scope="module")
def tokens(corpus, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    config = TextData(path=str(corpus), tokenizer="bytes", validation_share=0.3, cache=cache)
    return dataset.load_data(config, progress=False)


def test_episode_repeats_the_pair_at_its_distance(tokens):
    """The distance grows to the context length at depth 0; the value occurs nowhere else."""
    pool = pool_of(tokens)
    for depth in SETTINGS.depths:
        drawn = episode(tokens.validation, pool, SETTINGS, 100, depth, 3)
        assert len(drawn.needle) == len(drawn.control) == 101
        value = drawn.needle[-2:]
        place = drawn.start + SETTINGS.key
        np.testing.assert_array_equal(drawn.needle[place : place + 2], value)
        assert drawn.distance == len(drawn.needle) - 2 - place
        assert np.isin(drawn.needle, value).sum() == 4  # in the two places alone
        assert (drawn.needle != drawn.control).sum() == SETTINGS.key
    first, last = (episode(tokens.validation, pool, SETTINGS, 100, d, 3) for d in (0.0, 1.0))
    assert (first.start, first.distance, last.distance) == (0, 97, SETTINGS.pair)


def test_episode_is_a_function_of_length_depth_and_index(tokens):
    pool = pool_of(tokens)
    one, two, other = (episode(tokens.validation, pool, SETTINGS, 64, 0.5, i) for i in (7, 7, 8))
    np.testing.assert_array_equal(one.needle, two.needle)
    assert (one.needle != other.needle).any()


def test_mixing_batch_is_the_plain_batch_without_a_share(tokens):
    plain, plain_origins = tokens.train.batch(0, 5, 32, 6)
    mixed, mixed_origins = batch(tokens, TextData(), 0, 5, 32, 6)
    assert torch.equal(plain, mixed)
    assert plain_origins == mixed_origins


def test_mixing_batch_writes_pairs_twice_into_its_share(tokens):
    plain, _ = tokens.train.batch(0, 5, 64, 400)
    config = TextData(recall_share=0.3)
    mixed, _ = batch(tokens, config, 0, 5, 64, 400)
    assert torch.equal(mixed, batch(tokens, config, 0, 5, 64, 400)[0])
    changed = (mixed != plain).any(dim=1)
    assert 0.22 < changed.double().mean() < 0.38
    pool = set(pool_of(tokens).rare.tolist())
    for row, before in zip(mixed[changed].tolist(), plain[changed].tolist(), strict=True):
        written = {a for a, b in zip(row, before, strict=True) if a != b}
        assert written <= pool
        repeated = [i for i in range(len(row) - 3) if row[i] in pool and row.count(row[i]) >= 2]
        fours = [tuple(row[i : i + 4]) for i in range(len(row) - 3)]
        pairs = {fours[i] for i in repeated}
        assert sum(fours.count(pair) == 2 for pair in pairs) >= 4
