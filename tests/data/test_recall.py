"""Episodes of recall, and recall pairs mixed into training batches."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from posext.config import TextData
from posext.data import dataset
from posext.data.recall.episode import RecallSettings, episode
from posext.data.recall.mixing import batch
from posext.data.recall.pool import pool_of
from posext.data.recall.tasks import NO_WORD, TASKS
from posext.utils.errors import PosextError

SETTINGS = RecallSettings(trials=12)


@pytest.fixture(scope="module")
def tokens(corpus, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    config = TextData(path=str(corpus), tokenizer="bytes", validation_share=0.3, cache=cache)
    return dataset.load_data(config, progress=False)


def drawn(tokens, name, length, depth, index=3):
    return episode(tokens.validation, pool_of(tokens), SETTINGS, name, length, depth, index)


def test_episode_repeats_the_pair_at_its_distance(tokens):
    """The distance grows to the context length at depth 0; the value occurs nowhere else."""
    for depth in SETTINGS.depths:
        one = drawn(tokens, "retrieval", 100, depth)
        assert len(one.needle) == len(one.control) == 101
        key, value = one.needle[-2:]
        assert one.needle[one.start : one.start + 2].tolist() == [key, value]
        assert one.distance == 100 - (one.start + 1)
        assert np.isin(one.needle, [key, value]).sum() == 4  # in the two places alone
        assert np.flatnonzero(one.needle != one.control).tolist() == [one.start]
        assert one.control[one.start] not in one.needle
    first, last = (drawn(tokens, "retrieval", 100, depth) for depth in (0.0, 1.0))
    assert (first.start, first.distance, last.distance) == (0, 99, 2)


@pytest.mark.parametrize("name", TASKS)
def test_episode_has_the_words_of_its_task_alone(tokens, name):
    """The text has no word that the task uses, and depth moves nothing but places."""
    one, other = (drawn(tokens, name, 100, depth) for depth in (0.25, 1.0))
    assert sorted(one.needle) == sorted(other.needle)
    rng = np.random.default_rng([SETTINGS.seed, 100, 3])
    task = TASKS[name].make(rng.permutation(pool_of(tokens).rare), rng, 100)
    written = [task.needles, task.distractors, task.question]
    used = np.concatenate([*written, task.control], axis=None)
    found = one.needle[np.isin(one.needle, used)]
    assert sorted(found) == sorted(np.concatenate(written, axis=None))


def test_episode_has_its_needles_in_order_after_the_first(tokens):
    for depth in SETTINGS.depths:
        one = drawn(tokens, "variable_tracking", 100, depth)
        names = one.needle[-5:].tolist()
        context = one.needle[:-5].tolist()
        pairs = list(pairwise(context))
        places = [pairs.index(link) for link in pairwise(names)]
        assert places == sorted(places)
        assert places[0] == one.start == round(depth * (len(context) - 8))


def test_episode_of_common_words_has_each_of_them_as_often(tokens):
    one = drawn(tokens, "common_words", 103, 0.0)
    common, context = one.needle[-4:], one.needle[:-4]
    counts = np.bincount(context, minlength=tokens.vocab_size)
    assert counts[common].tolist() == [100 // 8] * 4
    assert np.delete(counts, common).max() == 1
    assert not np.isin(common, one.control[:-4]).any()
    assert [set(row) - {NO_WORD} for row in one.accepted.tolist()] == [
        set(common[k:].tolist()) for k in range(4)
    ]


def test_multi_key_hides_pairs_in_half_the_context(tokens):
    for length, pairs in ((40, 10), (400, 31)):
        words = np.arange(64)
        task = TASKS["multi_key"].make(words, np.random.default_rng(0), length)
        assert len(task.needles) + len(task.distractors) == pairs


def test_episode_is_a_function_of_length_depth_and_index(tokens):
    one, two, other = (drawn(tokens, "retrieval", 64, 0.5, index) for index in (7, 7, 8))
    np.testing.assert_array_equal(one.needle, two.needle)
    assert (one.needle != other.needle).any()


def test_mixing_batch_is_the_plain_batch_without_a_share(tokens):
    plain, plain_origins = tokens.train.batch(0, 5, 32, 6)
    mixed, mixed_origins = batch(tokens, TextData(), 0, 5, 32, 6)
    assert torch.equal(plain, mixed)
    assert list(plain_origins) == list(mixed_origins)


def test_mixing_batch_writes_pairs_again_and_again_into_its_share(tokens):
    """Half the tokens of a window are pairs, as many different ones as drawn, each as often."""
    plain, _ = tokens.train.batch(0, 5, 64, 400)
    config = TextData(recall_share=0.3, recall_pairs=5)
    mixed, _ = batch(tokens, config, 0, 5, 64, 400)
    assert torch.equal(mixed, batch(tokens, config, 0, 5, 64, 400)[0])
    changed = (mixed != plain).any(dim=1)
    assert 0.22 < changed.double().mean() < 0.38
    rare = pool_of(tokens).rare.tolist()
    different = set()
    for row in mixed[changed].tolist():
        # `corpus` has no rare token itself
        places = [place for place, token in enumerate(row) if token in rare]
        assert len(places) == 32
        pairs = [(row[first], row[second]) for first, second in batched_pairs(places)]
        times = [pairs.count(pair) for pair in set(pairs)]
        assert max(times) - min(times) <= 1
        assert len({token for pair in set(pairs) for token in pair}) == 2 * len(set(pairs))
        different.add(len(set(pairs)))
    assert different == {1, 2, 3, 4, 5}


def batched_pairs(places: list[int]) -> list[tuple[int, int]]:
    """Return neighbouring places two by two; each pair stands side by side."""
    pairs = list(zip(places[::2], places[1::2], strict=True))
    assert all(second == first + 1 for first, second in pairs)
    return pairs


def test_mixing_refuses_a_length_without_room_for_a_repetition(tokens):
    config = TextData(recall_share=1.0)
    batch(tokens, config, 0, 0, 7, 2)
    with pytest.raises(PosextError, match="at least 7 tokens, not 6"):
        batch(tokens, config, 0, 0, 6, 2)
