"""LongRoPE's search on a toy objective, and the default that a search of a model left."""

import math

import numpy as np
import pytest

from posext.pe import build, longrope_search

TOP = 10.0
STARTS = {"PI": np.full(32, 8.0), "NTK": 8.0 ** (np.arange(32) / 31), "YaRN": np.linspace(1, 8, 32)}


def away_from_a_step(divisors: np.ndarray) -> float:
    return float(np.square(np.log(divisors) - math.log(8) * (np.arange(32) > 12)).mean())


def test_the_search_ends_below_its_best_start_and_says_what_they_were():
    found = longrope_search.search(away_from_a_step, STARTS, TOP)
    assert found.starts == pytest.approx(
        {name: away_from_a_step(start) for name, start in STARTS.items()}
    )
    assert found.value == away_from_a_step(found.divisors) < 0.7 * min(found.starts.values())
    assert found.history == sorted(found.history, reverse=True)


def test_a_start_that_cannot_be_improved_is_kept():
    found = longrope_search.search(
        lambda divisors: float(abs(divisors - STARTS["YaRN"]).sum()), STARTS, TOP, generations=3
    )
    assert found.value == 0
    assert found.divisors.tolist() == STARTS["YaRN"].tolist()


@pytest.mark.parametrize("seed", [0, 1])
def test_every_candidate_is_non_decreasing_within_its_bounds_and_asked_for_once(seed):
    asked = []
    longrope_search.search(
        lambda divisors: asked.append(divisors) or away_from_a_step(divisors),
        STARTS,
        TOP,
        seed=seed,
    )
    candidates = np.stack(asked)
    assert candidates.shape == (16 + 10 * 10, 32)
    assert (np.diff(candidates) >= 0).all()
    assert candidates.min() >= 1
    assert candidates.max() <= TOP


def test_the_search_is_a_function_of_its_seed():
    same, again, other = (
        longrope_search.search(away_from_a_step, STARTS, TOP, seed=seed).divisors
        for seed in (3, 3, 4)
    )
    assert same.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("population", [2, 5])
def test_a_population_too_small_for_starts_or_parents_is_refused(population):
    with pytest.raises(ValueError, match="too small for 3 starts"):
        longrope_search.search(away_from_a_step, STARTS, TOP, population=population)


@pytest.mark.parametrize("head_dim", [8, 64, 128])
@pytest.mark.parametrize("factor", [2, 8, 64])
@pytest.mark.parametrize("original", [16, 128, 4096])
def test_the_default_divides_slow_pairs_by_the_factor_and_leaves_fast_ones(
    head_dim, factor, original
):
    shape = {"head_dim": head_dim, "n_heads": 1, "d_model": head_dim, "train_length": original}
    rope = build("rope", **shape).frequencies(original)[0]
    divisors = rope / build("longrope", **shape, factor=factor).frequencies(original + 1)[0]
    turns = original * rope / (2 * math.pi)
    assert (divisors.diff() >= -1e-9).all()
    assert divisors[turns <= 1 / 8].tolist() == pytest.approx(
        [factor] * int((turns <= 1 / 8).sum())
    )
    assert divisors[turns >= 8].tolist() == [1.0] * int((turns >= 8).sum())


def test_up_to_the_original_length_the_default_is_rope():
    shape = {"head_dim": 64, "n_heads": 1, "d_model": 64, "train_length": 128}
    assert (
        build("longrope", **shape, factor=8)
        .frequencies(128)[0]
        .equal(build("rope", **shape).frequencies(128)[0])
    )
