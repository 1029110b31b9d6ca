import numpy as np
import pytest

from posext.statistics import interval, mean_nll, resamples, usable_length


def test_the_mean_weighs_documents_by_their_tokens():
    nll, _ = mean_nll(np.array([[10.0, 90.0]]), np.array([10, 30]), resamples(2, 10, 0))
    assert nll.tolist() == [100 / 40]


def test_every_resample_draws_as_many_documents_as_there_are():
    draws = resamples(17, 200, 0)
    assert set(draws.sum(axis=1)) == {17}
    assert draws.mean() == 1
    assert np.array_equal(draws, resamples(17, 200, 0))
    assert not np.array_equal(draws, resamples(17, 200, 1))


@pytest.mark.parametrize("documents", [80])
def test_the_interval_covers_the_truth_as_often_as_it_says(documents):
    """Documents with means of their own: resampling tokens instead would cover far less often."""
    rng, hits, trials = np.random.default_rng(0), 0, 1500
    draws = resamples(documents, 400, 1)
    for _ in range(trials):
        tokens = rng.integers(50, 150, size=documents)
        means = 3 + rng.normal(0, 0.5, size=documents)
        sums = means * tokens + rng.normal(0, 1, size=documents) * np.sqrt(tokens)
        nll, resampled = mean_nll(sums[None], tokens, draws)
        estimate = interval(nll[0], resampled[:, 0])
        hits += estimate.low <= 3 <= estimate.high
    assert 0.93 <= hits / trials <= 0.97


def test_differences_on_the_same_documents_are_far_narrower_than_the_values():
    rng = np.random.default_rng(0)
    base = rng.normal(3, 0.5, size=60) * 100
    both = np.stack([base, base + 1 + rng.normal(0, 0.5, size=60)])
    _, resampled = mean_nll(both, np.full(60, 100), resamples(60, 500, 0))
    value, difference = (interval(0, s) for s in (resampled[:, 0], resampled[:, 1] - resampled[:, 0]))
    assert (difference.high - difference.low) < 0.1 * (value.high - value.low)
    assert difference.low > 0


@pytest.mark.parametrize(
    ("nll", "usable"),
    [
        ([3.0, 2.0, 2.0, 2.0, 2.0], 128),
        ([3.0, 2.0, 2.019, 2.021, 1.0], 32),  # within 1 %, then not; a later return does not count
        ([3.0, 2.0, 2.1, 2.0, 2.0], 16),
        ([3.0, 2.0, 1.9, float("nan"), 1.0], 32),
        ([3.0, 2.5, 2.0, 2.0, 2.0], None),  # an extension that spoils the training length itself
    ],
)
def test_usable_length_ends_where_the_loss_first_exceeds_the_crop_baseline_by_a_hundredth(nll, usable):
    assert usable_length([8, 16, 32, 64, 128], np.array(nll), 16, crop_nll=2.0) == usable


def test_usable_length_needs_the_training_length():
    assert usable_length([8, 32], np.array([1.0, 1.0]), 16, crop_nll=1.0) is None
    assert usable_length([8, 16, 32], np.array([1.0, 1.0, 1.0]), 16, crop_nll=float("nan")) is None
