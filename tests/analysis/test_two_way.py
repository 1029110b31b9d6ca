"""Intervals over seeds and documents together, and probabilities adjusted for their number."""

import numpy as np
import pytest
from scipy import stats

from posext.analysis.two_way import benjamini_hochberg, holm, two_way

SCENARIOS = [  # seeds, documents, standard deviations of seeds, documents and the rest
    (3, 16, 0.02, 0.10, 0.10),
    (3, 64, 0.05, 0.10, 0.10),
    (3, 64, 0.02, 0.16, 0.05),
    (5, 64, 0.02, 0.10, 0.10),
    (5, 16, 0.10, 0.10, 0.10),
]


def drawn(rng, seeds, documents, of_seeds, of_documents, of_rest):
    """Losses above 0 of seeds on documents, as sums of 100 tokens each."""
    losses_SD = of_seeds * rng.normal(size=(seeds, 1)) + of_documents * rng.normal(size=documents)
    return 100 * (losses_SD + of_rest * rng.normal(size=(seeds, documents)))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_way_interval_holds_the_truth_in_95_of_100_studies(scenario):
    """The truth is 0; 4,000 studies tell a share of 0.95 to 0.35 points."""
    rng = np.random.default_rng(0)
    weight_D = np.full(scenario[1], 100.0)
    found = [two_way(drawn(rng, *scenario), weight_D) for _ in range(4000)]
    covered = np.mean([each.both.low <= 0 <= each.both.high for each in found])
    assert 0.93 <= covered <= 0.98
    assert np.mean([each.p < 0.05 for each in found]) == pytest.approx(1 - covered, abs=0.001)


def test_two_way_covers_what_each_interval_alone_misses():
    rng = np.random.default_rng(1)
    weight_D = np.full(64, 100.0)
    found = [two_way(drawn(rng, 3, 64, 0.05, 0.1, 0.1), weight_D) for _ in range(500)]
    of_documents = np.mean([each.documents.low <= 0 <= each.documents.high for each in found])
    assert of_documents < 0.75


def test_two_way_without_documents_is_students_over_seeds():
    values_S1 = np.array([[0.1], [0.3], [0.2], [0.5]])
    found = two_way(values_S1, np.ones(1))
    expected = stats.ttest_1samp(values_S1[:, 0], 0)
    assert np.isnan(found.documents.low)
    assert found.both == pytest.approx(found.seeds)
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (found.both.low, found.both.high) == pytest.approx((low, high))


def test_two_way_of_seeds_that_agree_is_as_wide_as_over_documents():
    """Seeds that are equal add nothing, and documents of one size have Student's interval."""
    rng = np.random.default_rng(2)
    losses_D = rng.normal(0.2, 0.1, size=40)
    found = two_way(np.tile(losses_D, (3, 1)), np.ones(40))
    low, high = stats.ttest_1samp(losses_D, 0).confidence_interval(0.95)
    assert (found.both.low, found.both.high) == pytest.approx((low, high))


def test_two_way_weighs_documents_by_their_targets():
    found = two_way(np.array([[1.0, 30.0], [1.0, 30.0]]), np.array([1.0, 10.0]))
    assert found.both.value == pytest.approx(31 / 11)


def test_two_way_of_one_seed_has_no_verdict():
    found = two_way(np.array([[1.0, 2.0, 3.0]]), np.ones(3))
    assert found.seeds is None
    assert np.isnan(found.p)
    assert np.isnan(found.both.low)
    assert found.documents.low < 2 < found.documents.high


def test_two_way_probabilities_are_too_small_in_the_far_tail_of_three_seeds():
    """Seeds and documents have one standard error here, and the truth is 0."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(20_000):
        seeds_S1 = rng.normal(0, 0.02, (3, 1))
        documents_1D = rng.normal(0, 0.02 * (64 / 3) ** 0.5, (1, 64))
        rest_SD = rng.normal(0, 0.02, (3, 64))
        p.append(two_way(seeds_S1 + documents_1D + rest_SD, np.ones(64)).p)
    rates = {level: float(np.mean(np.array(p) < level) / level) for level in (0.05, 0.01, 0.001)}
    assert 0.9 < rates[0.05] < 1.1
    assert 1.1 < rates[0.01] < 1.5
    assert 1.4 < rates[0.001] < 2.5


def test_benjamini_hochberg_divides_by_the_rank_and_never_falls():
    adjusted = benjamini_hochberg([0.01, 0.04, float("nan"), 0.03, 0.9])
    np.testing.assert_allclose(adjusted, [0.04, 0.16 / 3, np.nan, 0.16 / 3, 0.9])
    assert benjamini_hochberg([0.9, 0.4]) == [0.9, 0.8]


def test_benjamini_hochberg_bounds_the_share_of_wrong_verdicts():
    """Of 40 hypotheses, 30 are true; over all studies the expected share is 0.05 x 30/40."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(2000):
        z = rng.normal(size=40) + np.repeat([0.0, 3.5], [30, 10])
        is_found = np.array(benjamini_hochberg((2 * stats.norm.sf(np.abs(z))).tolist())) < 0.05
        shares.append(is_found[:30].sum() / max(1, is_found.sum()))
    assert np.mean(shares) == pytest.approx(0.05 * 30 / 40, abs=0.005)


def test_holm_multiplies_the_smallest_by_their_number_and_never_falls():
    adjusted = holm([0.01, 0.04, float("nan"), 0.03, 0.9])
    np.testing.assert_allclose(adjusted, [0.04, 0.09, np.nan, 0.09, 0.9])
    assert holm([0.4, 0.9]) == [0.8, 0.9]
