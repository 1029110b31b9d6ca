"""LongRoPE's evolutionary search for a divisor per rotary pair, on any objective.

Ding et al. 2024, arXiv:2402.13753, section 3.2 and algorithm 1, scaled down to some hundred
evaluations: the paper draws single divisors from a grid, while a mutation here shifts a stretch of
the curve ln lambda, and a crossover joins the start of one parent to the end of another. All
candidates are projected onto non-decreasing divisors in [1, top]. No model and no files here.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from posext.utils.errors import PosextError

# Knots of the curve that a mutation may shift.
MUTATION_KNOTS = 6
# Probability that a mutation shifts a knot.
MUTATION_PROBABILITY = 0.5
# Standard deviation of a shift, as a share of ln top.
MUTATION_STD = 0.15
# Smallest population with two parents.
MIN_POPULATION = 6


class SearchResult(NamedTuple):
    """Result of a search.

    Attributes:
        divisors: The best divisors (R,).
        value: Their objective.
        starts: Objective of every start.
        history: Best objective after each generation.
    """

    divisors: np.ndarray
    value: float
    starts: dict[str, float]
    history: list[float]


def search(
    objective: Callable[[np.ndarray], float],
    starts: Mapping[str, np.ndarray],
    top: float,
    *,
    population: int = 16,
    generations: int = 10,
    seed: int = 0,
) -> SearchResult:
    """Minimize an objective over divisors; the result is never worse than the best start.

    The first population is the starts and mutations of them. The best three eighths of every
    generation survive as parents; half of the others are their mutations, half their crossovers.
    The objective is evaluated once per new candidate, population + generations * (population -
    parents) times. The result is a pure function of the arguments.

    Args:
        objective: Function of the divisors (R,).
        starts: Divisors of the first population by name, float (R,) each.
        top: Largest divisor.
        population: Candidates in a generation.
        generations: Generations after the first.
        seed: Seed of mutations and crossovers.

    Raises:
        PosextError: The population is smaller than the starts, or has less than two parents.
    """
    n_parents = population * 3 // 8
    if population < len(starts) or n_parents < 2:
        raise PosextError(
            f"a population of {population} is too small for {len(starts)} starts and two parents: "
            f"at least {MIN_POPULATION}"
        )
    rng = np.random.default_rng(seed)
    candidates = [project_monotone(np.asarray(start, float), top) for start in starts.values()]
    for i in range(population - len(starts)):
        candidates.append(mutate(candidates[i % len(starts)], top, rng))
    ranked = [(objective(divisors), divisors) for divisors in candidates]
    start_values = {name: value for name, (value, _) in zip(starts, ranked, strict=False)}
    history = []
    for _ in range(generations):
        ranked = sorted(ranked, key=lambda pair: pair[0])[:n_parents]
        parents = [divisors for _, divisors in ranked]
        for i in range(population - n_parents):
            first, second = rng.choice(n_parents, size=2, replace=False)
            one = parents[first]
            other = parents[second]
            child = mutate(one, top, rng) if i % 2 else crossover(one, other, top, rng)
            ranked.append((objective(child), child))
        history.append(min(value for value, _ in ranked))
    value, divisors = min(ranked, key=lambda pair: pair[0])
    return SearchResult(divisors, value, start_values, history)


def mutate(divisors: np.ndarray, top: float, rng: np.random.Generator) -> np.ndarray:
    """Shift ln lambda by a random amount at some knots, linear in between."""
    pairs = np.arange(len(divisors))
    knots = np.linspace(0, len(divisors) - 1, MUTATION_KNOTS)
    shifts = rng.normal(0, MUTATION_STD * np.log(top), MUTATION_KNOTS)
    shifts *= rng.random(MUTATION_KNOTS) < MUTATION_PROBABILITY
    return project_monotone(divisors * np.exp(np.interp(pairs, knots, shifts)), top)


def crossover(
    first: np.ndarray, second: np.ndarray, top: float, rng: np.random.Generator
) -> np.ndarray:
    """Join the first parent up to a random pair to the second parent from there on."""
    cut = int(rng.integers(1, max(2, len(first))))
    return project_monotone(np.concatenate((first[:cut], second[cut:])), top)


def project_monotone(divisors: np.ndarray, top: float) -> np.ndarray:
    """Clip divisors to [1, top] and make them non-decreasing by a running maximum."""
    return np.maximum.accumulate(divisors.clip(1, top))
