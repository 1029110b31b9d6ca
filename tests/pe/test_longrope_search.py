"""LongRoPE's search on a toy objective, and the divisors that LongRoPE has by default."""

import math

import numpy as np
import pytest

from posext.pe import build, longrope_search

LARGEST = 10.0
STARTS = {"PI": np.full(32, 8.0), "NTK": 8.0 ** (np.arange(32) / 31), "YaRN": np.linspace(1, 8, 32)}


def distance_to_a_step(divisors: np.ndarray) -> float:
    """How far divisors are from 1 up to pair 12 and 8 after it: 0 at best."""
    return float(np.square(np.log(divisors) - math.log(8) * (np.arange(32) > 12)).mean())


def test_search_ends_below_its_best_start():
    """The result has the value of every start, and the best values so far."""
    result = longrope_search.search(distance_to_a_step, STARTS, LARGEST)
    assert result.starts == pytest.approx(
        {name: distance_to_a_step(start) for name, start in STARTS.items()}
    )
    assert result.value == distance_to_a_step(result.divisors) < 0.7 * min(result.starts.values())
    assert result.history == sorted(result.history, reverse=True)


def test_search_keeps_a_start_that_cannot_be_improved():
    best = STARTS["YaRN"]
    result = longrope_search.search(
        lambda divisors: float(abs(divisors - best).sum()), STARTS, LARGEST, generations=3
    )
    assert result.value == 0
    assert result.divisors.tolist() == best.tolist()


@pytest.mark.parametrize("seed", [0, 1])
def test_search_tries_only_rising_divisors_within_bounds(seed):
    """The objective is called once a candidate."""
    tried = []

    def objective(divisors):
        tried.append(divisors)
        return distance_to_a_step(divisors)

    longrope_search.search(objective, STARTS, LARGEST, seed=seed)
    candidates = np.stack(tried)
    assert candidates.shape == (16 + 10 * 10, 32)
    assert (np.diff(candidates) >= 0).all()
    assert candidates.min() >= 1
    assert candidates.max() <= LARGEST


def test_search_is_a_function_of_its_seed():
    first, second, other = (
        longrope_search.search(distance_to_a_step, STARTS, LARGEST, seed=seed).divisors
        for seed in (3, 3, 4)
    )
    assert first.tolist() == second.tolist() != other.tolist()


@pytest.mark.parametrize("population", [2, 5])
def test_search_refuses_a_population_that_is_too_small(population):
    """It must hold the starts, and the parents of the next generation."""
    with pytest.raises(ValueError, match="too small for 3 starts"):
        longrope_search.search(distance_to_a_step, STARTS, LARGEST, population=population)


@pytest.mark.parametrize("head_dim", [8, 64, 128])
@pytest.mark.parametrize("factor", [2, 8, 64])
@pytest.mark.parametrize("original", [16, 128, 4096])
def test_longrope_default_divides_slow_pairs_alone(head_dim, factor, original):
    """Pairs of at most an eighth of a turn are divided by the factor, those of eight turns by 1."""
    shape = {"head_dim": head_dim, "n_heads": 1, "d_model": head_dim, "train_length": original}
    rope = build("rope", **shape).frequencies(original)[0]
    divisors = rope / build("longrope", **shape, factor=factor).frequencies(original + 1)[0]
    turns = original * rope / (2 * math.pi)
    assert (divisors.diff() >= -1e-9).all()
    slow = divisors[turns <= 1 / 8].tolist()
    fast = divisors[turns >= 8].tolist()
    assert slow == pytest.approx([factor] * len(slow))
    assert fast == [1.0] * len(fast)


def test_longrope_default_is_rope_up_to_the_original_length():
    shape = {"head_dim": 64, "n_heads": 1, "d_model": 64, "train_length": 128}
    longrope, _ = build("longrope", **shape, factor=8).frequencies(128)
    rope, _ = build("rope", **shape).frequencies(128)
    assert longrope.equal(rope)
