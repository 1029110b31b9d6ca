import sys
from pathlib import Path

import numpy as np
import pytest

from posext.statistics import (
    Estimate,
    against_crop,
    area,
    difference,
    gain_beyond_train,
    interval,
    mean_nll,
    resamples,
    rise,
    usable_length,
    usable_share,
    verdict,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import interval_coverage

LENGTHS, CURVE = [8, 16, 32, 64], np.array([3.0, 2.0, 1.8, 2.4])


def test_the_mean_weighs_documents_by_their_tokens():
    nll, _ = mean_nll(np.array([[10.0, 90.0]]), np.array([10, 30]), resamples(2, 10, 0))
    assert nll.tolist() == [100 / 40]


def test_every_resample_draws_as_many_documents_as_there_are():
    draws = resamples(17, 200, 0)
    assert set(draws.sum(axis=1)) == {17}
    assert draws.mean() == 1
    assert np.array_equal(draws, resamples(17, 200, 0))
    assert not np.array_equal(draws, resamples(17, 200, 1))


@pytest.mark.parametrize("documents", [16, 80])
def test_the_interval_covers_the_truth_as_often_as_it_says(documents):
    """Documents with means of their own: resampling tokens instead would cover far less often."""
    assert 0.93 <= interval_coverage.covered(documents, studies=1500, count=400)[0] <= 0.97


def test_differences_on_the_same_documents_are_far_narrower_than_the_values():
    rng = np.random.default_rng(0)
    base = rng.normal(3, 0.5, size=60) * 100
    both = np.stack([base, base + 1 + rng.normal(0, 0.5, size=60)])
    _, resampled = mean_nll(both, np.full(60, 100), resamples(60, 500, 0))
    value, difference = (interval(0, s, 60) for s in (resampled[:, 0], resampled[:, 1] - resampled[:, 0]))
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


@pytest.mark.parametrize("truth", [0.0, 0.05])
def test_the_paired_interval_covers_the_true_difference_as_often_as_it_says(truth):
    """Documents differ by 0.5 nats, and in what the other scheme gains on them by 0.1: the difference is not their sum."""
    rng, documents, trials = np.random.default_rng(2), 80, 1500
    draws, hits, widths = resamples(documents, 400, 1), 0, []
    for _ in range(trials):
        tokens = rng.integers(50, 150, size=documents)
        means = 3 + rng.normal(0, 0.5, size=documents)
        base = means * tokens + rng.normal(0, 1, size=documents) * np.sqrt(tokens)
        other = base + (truth + rng.normal(0, 0.1, size=documents)) * tokens
        found = difference(other, base, tokens, draws)
        hits += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    assert 0.93 <= hits / trials <= 0.97
    assert np.mean(widths) < 0.06  # unpaired it would be 0.32


def test_a_difference_of_a_curve_to_itself_is_nothing():
    nll, tokens = np.array([10.0, 90.0, 40.0]), np.array([10, 30, 15])
    assert difference(nll, nll, tokens, resamples(3, 50, 0)) == (0, 0, 0)


def test_verdicts_say_what_the_interval_says():
    assert verdict(Estimate(-0.1, -0.2, -0.01)) == "lower"
    assert verdict(Estimate(0.1, 0.01, 0.2)) == "higher"
    assert verdict(Estimate(-0.1, -0.2, 0.01)) == verdict(Estimate(0, 0, 0)) == "no difference seen"


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ((-0.1, -0.2, -0.01), "uses"),
        ((-0.1, -0.2, 0.01), "survives"),  # no gain that documents agree on
        ((0.019, 0.01, 0.03), "survives"),  # within 1 % of 2 nats
        ((0.021, 0.01, 0.03), "fails"),
    ],
)
def test_a_length_uses_survives_or_fails_against_the_crop_baseline(found, word):
    assert against_crop(Estimate(*found), crop_nll=2.0) == word


def test_derived_numbers_are_what_they_say_of_a_curve_and_of_each_resample():
    both = np.stack([CURVE, CURVE + 1])
    assert rise(LENGTHS, CURVE, 16, 4) == pytest.approx(0.4)
    assert area(LENGTHS, CURVE, 16) == pytest.approx((0 - 0.2) / 2 + (-0.2 + 0.4) / 2)
    assert area([16, 64], CURVE[[1, 3]], 16) == pytest.approx(0.4)  # two doublings, 0.2 high on average
    assert area(LENGTHS, both, 16).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert rise(LENGTHS, both, 16, 2).tolist() == pytest.approx([-0.2, -0.2])


def test_the_gain_is_over_the_best_length_and_its_interval_is_of_no_width_without_chance():
    both = np.stack([CURVE, CURVE + 1])
    assert gain_beyond_train(LENGTHS, CURVE, both, 16, 2) == pytest.approx((0.2, 0.2, 0.2))
    assert gain_beyond_train(LENGTHS, CURVE, both, 32, 2) == pytest.approx((-0.6, -0.6, -0.6))


def test_no_gain_is_rarely_taken_for_one_though_it_is_the_best_of_four_lengths():
    rng, draws, seen, trials = np.random.default_rng(0), resamples(80, 400, 1), 0, 500
    for _ in range(trials):
        nll_LD = rng.normal(3, 0.5, size=80) + np.vstack([np.zeros(80), rng.normal(0, 0.1, size=(4, 80))])
        found = gain_beyond_train([1, 2, 4, 8, 16], *mean_nll(nll_LD * 100, np.full(80, 100), draws), 1, 80)
        seen += found.low > 0
    assert seen / trials < 0.05


def test_the_usable_length_comes_with_the_share_of_resamples_that_agree():
    resampled = np.array([[3, 2, 2, 2], [3, 2, 2, 3], [3, 2, 2, 2], [3, 2, 3, 2]], dtype=float)
    assert usable_share(LENGTHS, resampled, 16, np.full(4, 2.0), 64) == 0.5
    assert usable_share(LENGTHS, resampled, 16, np.array([2.0, 2, 2, 1]), None) == 0.25
