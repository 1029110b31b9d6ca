"""Intervals and derived numbers, against closed forms and simulated coverage."""

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
    wilson,
)

LENGTHS = [8, 16, 32, 64]
CURVE = np.array([3.0, 2.0, 1.8, 2.4])


def test_mean_nll_weighs_documents_by_tokens():
    nll, _ = mean_nll(np.array([[10.0, 90.0]]), np.array([10, 30]), resamples(2, 10, 0))
    assert nll.tolist() == [100 / 40]


def test_resamples_draw_as_many_documents_as_there_are():
    draws = resamples(17, 200, 0)
    assert set(draws.sum(axis=1)) == {17}
    assert draws.mean() == 1
    assert np.array_equal(draws, resamples(17, 200, 0))
    assert not np.array_equal(draws, resamples(17, 200, 1))


@pytest.mark.parametrize("documents", [10, 16, 80])
@pytest.mark.parametrize("scenario", ["like sizes", "skewed means", "paired, like sizes"])
def test_interval_covers_the_truth_at_its_level(scenario, documents):
    """Documents have means of their own: an interval over tokens would cover far less often."""
    covered = interval_coverage.covered(scenario, documents, studies=3000, count=2)["interval"]
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("scenario", ["lognormal sizes", "paired, lognormal sizes"])
def test_interval_covers_the_truth_for_unequal_documents(scenario):
    """A few documents hold most of the tokens."""
    covered = interval_coverage.covered(scenario, 16, studies=3000, count=2)["interval"]
    assert 0.945 <= covered <= 0.98


def test_interval_is_wider_on_the_long_tail():
    value, low, high = interval(np.array([10, 10, 11, 12, 30.0]), np.ones(5))
    assert high - value > 1.5 * (value - low)
    mirrored = interval(-np.array([10, 10, 11, 12, 30.0]), np.ones(5))
    assert mirrored == pytest.approx((-value, -high, -low))


def test_interval_without_skew_is_students():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451051977934 * (2.5 / 5) ** 0.5  # t with 4 degrees of freedom
    assert interval(values, np.ones(5)) == pytest.approx((3, 3 - half, 3 + half))


def test_interval_depends_on_relative_weights():
    rng = np.random.default_rng(0)
    weight = rng.lognormal(size=20)
    nll = rng.normal(3, 0.5, size=20) * weight
    assert interval(1000 * nll, 1000 * weight) == pytest.approx(interval(nll, weight))
    with_empty = interval(np.append(nll, 0.0), np.append(weight, 0.0))
    assert with_empty == pytest.approx(interval(nll, weight))


@pytest.mark.parametrize("weight", [[7.0], [7.0, 0.0]])
def test_interval_of_one_document_has_no_ends(weight):
    value, low, high = interval(np.array([21.0, 0.0])[: len(weight)], np.array(weight))
    assert value == 3
    assert np.isnan([low, high]).all()


def test_gain_beyond_train_of_one_document_has_no_ends():
    gain = gain_beyond_train([16, 32], np.array([[21.0], [14.0]]), np.array([7.0]), 16)
    assert gain.value == 1
    assert np.isnan([gain.low, gain.high]).all()


def test_difference_is_narrower_than_its_values():
    rng = np.random.default_rng(0)
    base = rng.normal(3, 0.5, size=60) * 100
    weight = np.full(60, 100)
    other = base + 1 + rng.normal(0, 0.5, size=60)
    value = interval(base, weight)
    paired = difference(other, base, weight)
    assert (paired.high - paired.low) < 0.1 * (value.high - value.low)
    assert paired.low > 0


def test_difference_of_a_curve_to_itself_is_zero():
    nll = np.array([10.0, 90.0, 40.0])
    tokens = np.array([10, 30, 15])
    assert difference(nll, nll, tokens) == (0, 0, 0)


def test_gain_share_covers_a_ratio_of_two_uncertain_sums():
    rng = np.random.default_rng(3)
    weight = np.full(20, 100)
    start = np.full(20, 3.0) * 100
    start_floor = np.full(20, 2.5) * 100
    hits = 0
    for _ in range(1500):
        possible = rng.normal(0.5, 0.1, size=20)
        gained = 0.6 * possible + rng.normal(0, 0.05, size=20)
        nll = start - 100 * gained
        floor = start_floor - 100 * possible
        share = gain_share(nll, floor, start, start_floor, weight)
        hits += share.low <= 0.6 <= share.high
    assert 0.93 <= hits / 1500 <= 0.97


def test_gain_share_is_1_on_the_floor():
    floor = np.outer([1.0, 0.9, 0.8], np.ones(3))
    weight = np.ones(3)
    shares = [gain_share(nll, nll, floor[0], floor[0], weight).value for nll in floor[1:]]
    assert shares == pytest.approx([1, 1])


def test_gain_share_is_0_on_the_crop_and_nan_without_gain():
    """Nothing can be gained up to the training length, and where the floor is not known."""
    floor = np.outer([1.2, 1.0, 0.9, 0.8, np.nan], np.ones(3))
    weight = np.ones(3)
    curve = np.outer([1.4, 1.1, 1.1, 1.0, 1.0], np.ones(3))
    shares = [
        gain_share(nll, floor_nll, curve[1], floor[1], weight).value
        for nll, floor_nll in zip(curve, floor, strict=True)
    ]
    np.testing.assert_allclose(shares, [np.nan, np.nan, 0, 0.5, np.nan], atol=1e-12)
    assert np.isnan(gain_share(floor[2], floor[2], floor[4], floor[1], weight)).all()


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
def test_usable_length_stops_at_first_failure(nll, usable):
    """A length fails if its loss exceeds the crop baseline by more than 1 %."""
    assert usable_length([8, 16, 32, 64, 128], np.array(nll), 16, crop_nll=2.0) == usable


def test_usable_length_needs_the_training_length():
    assert usable_length([8, 32], np.array([1.0, 1.0]), 16, crop_nll=1.0) is None
    assert usable_length([8, 16, 32], np.array([1.0, 1.0, 1.0]), 16, crop_nll=float("nan")) is None


def test_usable_share_counts_resamples_that_agree():
    resampled = np.array([[3, 2, 2, 2], [3, 2, 2, 3], [3, 2, 2, 2], [3, 2, 3, 2]], dtype=float)
    assert usable_share(LENGTHS, resampled, 16, np.full(4, 2.0), 64) == 0.5
    assert usable_share(LENGTHS, resampled, 16, np.array([2.0, 2, 2, 1]), None) == 0.25


def test_verdict_depends_on_the_interval():
    assert verdict(Estimate(-0.1, -0.2, -0.01)) == "lower"
    assert verdict(Estimate(0.1, 0.01, 0.2)) == "higher"
    assert verdict(Estimate(-0.1, -0.2, 0.01)) == "no difference seen"
    assert verdict(Estimate(0, 0, 0)) == "no difference seen"
    assert verdict(Estimate(-0.1, np.nan, np.nan)) == "no interval"


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        ((-0.1, -0.2, -0.01), "uses"),
        ((-0.1, -0.2, 0.01), "survives"),  # no gain that documents agree on
        ((0.019, 0.01, 0.03), "survives"),  # within 1 % of 2 nats
        ((0.021, 0.01, 0.03), "fails"),
        ((-0.5, np.nan, np.nan), "no interval"),
        ((0.5, np.nan, np.nan), "no interval"),
    ],
)
def test_against_crop_says_uses_survives_or_fails(estimate, expected):
    assert against_crop(Estimate(*estimate), crop_nll=2.0) == expected


def test_rise_is_over_the_training_length():
    assert rise(LENGTHS, CURVE, 16, 4) == pytest.approx(0.4)
    resampled = np.stack([CURVE, CURVE + 1])
    assert rise(LENGTHS, resampled, 16, 2).tolist() == pytest.approx([-0.2, -0.2])


def test_area_is_over_doublings_of_the_training_length():
    assert area(LENGTHS, CURVE, 16) == pytest.approx((0 - 0.2) / 2 + (-0.2 + 0.4) / 2)
    two_doublings = area([16, 64], CURVE[[1, 3]], 16)
    assert two_doublings == pytest.approx(0.4)  # 0.2 high on average
    resampled = np.stack([CURVE, CURVE + 1])
    assert area(LENGTHS, resampled, 16).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_gain_beyond_train_is_that_of_the_best_length():
    """Documents that are all equal leave no uncertainty."""
    nll_LD = np.outer(CURVE, np.ones(3))
    weight = np.ones(3)
    assert gain_beyond_train(LENGTHS, nll_LD, weight, 16) == pytest.approx((0.2, 0.2, 0.2))
    assert gain_beyond_train(LENGTHS, nll_LD, weight, 32) == pytest.approx((-0.6, -0.6, -0.6))


def test_gain_beyond_train_is_rarely_seen_where_there_is_none():
    """The best of four lengths is no likelier to seem a gain than one length."""
    rng = np.random.default_rng(0)
    trials = 1500
    seen = 0
    missed = 0
    for _ in range(trials):
        per_document = rng.normal(3, 0.5, size=80)
        noise = np.vstack([np.zeros(80), rng.normal(0, 0.1, size=(4, 80))])
        nll_LD = (per_document + noise) * 100
        gain = gain_beyond_train([1, 2, 4, 8, 16], nll_LD, np.full(80, 100), 1)
        seen += gain.low > 0
        missed += gain.high < 0
    assert 0.01 < seen / trials < 0.04
    assert missed / trials < 0.04


@pytest.mark.parametrize(
    ("correct", "trials", "low", "high"),
    [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1), (1, 1, 0.2065, 1)],
)
def test_wilson_gives_published_intervals(correct, trials, low, high):
    assert wilson(correct, trials) == pytest.approx((correct / trials, low, high), abs=5e-5)
