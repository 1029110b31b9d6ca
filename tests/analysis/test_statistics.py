import interval_coverage
import numpy as np
import pytest

from posext.analysis.statistics import (
    Estimate,
    against_crop,
    area,
    difference,
    gain_beyond_train,
    gain_share,
    interval,
    mean_nll,
    resamples,
    rise,
    usable_length,
    usable_share,
    verdict,
)

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


@pytest.mark.parametrize("documents", [10, 16, 80])
@pytest.mark.parametrize("scenario", ["like sizes", "skewed means", "paired, like sizes"])
def test_the_interval_covers_the_truth_as_often_as_it_says(scenario, documents):
    """Documents with means of their own: an interval over tokens would cover far less often."""
    assert (
        0.93
        <= interval_coverage.covered(scenario, documents, studies=3000, count=2)["interval"]
        <= 0.97
    )


@pytest.mark.parametrize("scenario", ["lognormal sizes", "paired, lognormal sizes"])
def test_the_interval_covers_the_truth_where_a_few_documents_hold_most_tokens(scenario):
    assert (
        0.945 <= interval_coverage.covered(scenario, 16, studies=3000, count=2)["interval"] <= 0.98
    )


def test_the_interval_leans_to_the_long_tail_of_the_documents():
    value, low, high = interval(np.array([10, 10, 11, 12, 30.0]), np.ones(5))
    assert high - value > 1.5 * (value - low)
    mirrored = interval(-np.array([10, 10, 11, 12, 30.0]), np.ones(5))
    assert mirrored == pytest.approx((-value, -high, -low))


def test_the_interval_of_like_documents_without_skew_is_students():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451051977934 * (2.5 / 5) ** 0.5  # t with 4 degrees of freedom
    assert interval(values, np.ones(5)) == pytest.approx((3, 3 - half, 3 + half))


def test_the_interval_goes_by_the_weights_relative_to_each_other():
    rng = np.random.default_rng(0)
    weight = rng.lognormal(size=20)
    nll = rng.normal(3, 0.5, size=20) * weight
    assert interval(1000 * nll, 1000 * weight) == pytest.approx(interval(nll, weight))
    with_empty = interval(np.append(nll, 0.0), np.append(weight, 0.0))
    assert with_empty == pytest.approx(interval(nll, weight))


@pytest.mark.parametrize("weight", [[7.0], [7.0, 0.0]])
def test_one_document_has_a_value_and_no_interval(weight):
    value, low, high = interval(np.array([21.0, 0.0])[: len(weight)], np.array(weight))
    assert value == 3
    assert np.isnan([low, high]).all()
    both = np.array([[21.0], [14.0]])
    gain = gain_beyond_train([16, 32], both, np.array([7.0]), 16)
    assert gain.value == 1
    assert np.isnan([gain.low, gain.high]).all()


def test_differences_on_the_same_documents_are_far_narrower_than_the_values():
    rng = np.random.default_rng(0)
    base, weight = rng.normal(3, 0.5, size=60) * 100, np.full(60, 100)
    other = base + 1 + rng.normal(0, 0.5, size=60)
    value, found = interval(base, weight), difference(other, base, weight)
    assert (found.high - found.low) < 0.1 * (value.high - value.low)
    assert found.low > 0


def test_the_share_of_the_gain_has_the_interval_of_a_ratio_of_two_uncertain_sums():
    rng, hits, weight = np.random.default_rng(3), 0, np.full(20, 100)
    for _ in range(1500):
        could = rng.normal(0.5, 0.1, size=20)
        does = 0.6 * could + rng.normal(0, 0.05, size=20)
        start, floor = np.full(20, 3.0), np.full(20, 2.5)
        share = gain_share(
            (start - does) * 100, (floor - could) * 100, start * 100, floor * 100, weight
        )
        hits += share.low <= 0.6 <= share.high
    assert 0.93 <= hits / 1500 <= 0.97


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
def test_usable_length_ends_where_the_loss_first_exceeds_the_crop_baseline_by_a_hundredth(
    nll, usable
):
    assert usable_length([8, 16, 32, 64, 128], np.array(nll), 16, crop_nll=2.0) == usable


def test_usable_length_needs_the_training_length():
    assert usable_length([8, 32], np.array([1.0, 1.0]), 16, crop_nll=1.0) is None
    assert usable_length([8, 16, 32], np.array([1.0, 1.0, 1.0]), 16, crop_nll=float("nan")) is None


def test_a_difference_of_a_curve_to_itself_is_nothing():
    nll, tokens = np.array([10.0, 90.0, 40.0]), np.array([10, 30, 15])
    assert difference(nll, nll, tokens) == (0, 0, 0)


def test_verdicts_say_what_the_interval_says():
    assert verdict(Estimate(-0.1, -0.2, -0.01)) == "lower"
    assert verdict(Estimate(0.1, 0.01, 0.2)) == "higher"
    assert verdict(Estimate(-0.1, -0.2, 0.01)) == verdict(Estimate(0, 0, 0)) == "no difference seen"
    assert verdict(Estimate(-0.1, np.nan, np.nan)) == "no interval"


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ((-0.1, -0.2, -0.01), "uses"),
        ((-0.1, -0.2, 0.01), "survives"),  # no gain that documents agree on
        ((0.019, 0.01, 0.03), "survives"),  # within 1 % of 2 nats
        ((0.021, 0.01, 0.03), "fails"),
        ((-0.5, np.nan, np.nan), "no interval"),
        ((0.5, np.nan, np.nan), "no interval"),
    ],
)
def test_a_length_uses_survives_or_fails_against_the_crop_baseline(found, word):
    assert against_crop(Estimate(*found), crop_nll=2.0) == word


def test_derived_numbers_are_what_they_say_of_a_curve_and_of_each_resample():
    both = np.stack([CURVE, CURVE + 1])
    assert rise(LENGTHS, CURVE, 16, 4) == pytest.approx(0.4)
    assert area(LENGTHS, CURVE, 16) == pytest.approx((0 - 0.2) / 2 + (-0.2 + 0.4) / 2)
    assert area([16, 64], CURVE[[1, 3]], 16) == pytest.approx(
        0.4
    )  # two doublings, 0.2 high on average
    assert area(LENGTHS, both, 16).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert rise(LENGTHS, both, 16, 2).tolist() == pytest.approx([-0.2, -0.2])


def test_the_gain_is_over_the_best_length_and_its_interval_is_of_no_width_without_chance():
    nll_LD, weight = np.outer(CURVE, np.ones(3)), np.ones(3)
    assert gain_beyond_train(LENGTHS, nll_LD, weight, 16) == pytest.approx((0.2, 0.2, 0.2))
    assert gain_beyond_train(LENGTHS, nll_LD, weight, 32) == pytest.approx((-0.6, -0.6, -0.6))


def test_no_gain_is_rarely_taken_for_one_though_it_is_the_best_of_four_lengths():
    rng, seen, missed, trials = np.random.default_rng(0), 0, 0, 1500
    for _ in range(trials):
        nll_LD = rng.normal(3, 0.5, size=80) + np.vstack(
            [np.zeros(80), rng.normal(0, 0.1, size=(4, 80))]
        )
        found = gain_beyond_train([1, 2, 4, 8, 16], nll_LD * 100, np.full(80, 100), 1)
        seen += found.low > 0
        missed += found.high < 0
    assert 0.01 < seen / trials < 0.04
    assert missed / trials < 0.04


def test_the_usable_length_comes_with_the_share_of_resamples_that_agree():
    resampled = np.array([[3, 2, 2, 2], [3, 2, 2, 3], [3, 2, 2, 2], [3, 2, 3, 2]], dtype=float)
    assert usable_share(LENGTHS, resampled, 16, np.full(4, 2.0), 64) == 0.5
    assert usable_share(LENGTHS, resampled, 16, np.array([2.0, 2, 2, 1]), None) == 0.25
