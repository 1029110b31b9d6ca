"""LongRoPE's search for a divisor for every pair, on any objective: no model and no files here.

Ding et al. 2024, arXiv:2402.13753, section 3.2 and algorithm 1, scaled down to some hundred evaluations: where the paper
draws single divisors anew from a grid, a mutation here bends a stretch of the curve ln lambda, and a crossover joins the
start of one parent to the end of another. What comes out is kept within [1, top] and made non-decreasing.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from posext.utils.errors import PosextError

POINTS = 6  # at which a mutation may bend the curve
CHANCE = 0.5  # of every point to be bent
SMALLEST = 6  # population, of which two are parents
BEND = 0.15  # standard deviation, as a share of ln top


class Found(NamedTuple):
    """The best divisors (R,), their value, the value of every start, and the best value after each generation."""

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
) -> Found:
    """Divisors that make the objective small, never worse than the best start; a pure function of its arguments.

    The first population is the starts (float (R,) each) and mutations of them. Of every generation the best three eighths
    live on as parents; half of the rest are mutations of them, half crossovers. The objective is asked once for each new
    candidate: population + generations * (population - parents) times. Raises PosextError for a population without room
    for the starts, or that leaves none for parents and children.
    """
    parents = population * 3 // 8
    if population < len(starts) or parents < 2:
        raise PosextError(
            f"a population of {population} is too small for {len(starts)} starts and two parents: at least {SMALLEST}"
        )
    rng = np.random.default_rng(seed)
    known = {name: within(np.asarray(start, dtype=float), top) for name, start in starts.items()}
    first = list(known.values())
    first += [mutated(first[i % len(known)], top, rng) for i in range(population - len(known))]
    ranked = [(objective(divisors), divisors) for divisors in first]
    values = {name: value for name, (value, _) in zip(known, ranked, strict=False)}
    history = []
    for _ in range(generations):
        ranked = sorted(ranked, key=lambda pair: pair[0])[:parents]
        alive = [divisors for _, divisors in ranked]
        for child in range(population - parents):
            one, other = rng.choice(parents, size=2, replace=False)
            made = (
                mutated(alive[one], top, rng)
                if child % 2
                else crossed(alive[one], alive[other], top, rng)
            )
            ranked.append((objective(made), made))
        history.append(min(value for value, _ in ranked))
    value, divisors = min(ranked, key=lambda pair: pair[0])
    return Found(divisors, value, values, history)


def mutated(divisors: np.ndarray, top: float, rng: np.random.Generator) -> np.ndarray:
    """ln lambda, bent by a random amount at some of POINTS places, straight between them."""
    places = np.linspace(0, len(divisors) - 1, POINTS)
    bends = rng.normal(0, BEND * np.log(top), POINTS) * (rng.random(POINTS) < CHANCE)
    return within(divisors * np.exp(np.interp(np.arange(len(divisors)), places, bends)), top)


def crossed(one: np.ndarray, other: np.ndarray, top: float, rng: np.random.Generator) -> np.ndarray:
    """One parent up to a random pair, the other from there on."""
    cut = int(rng.integers(1, max(2, len(one))))
    return within(np.concatenate((one[:cut], other[cut:])), top)


def within(divisors: np.ndarray, top: float) -> np.ndarray:
    """Clipped to [1, top], and raised where they would fall."""
    return np.maximum.accumulate(divisors.clip(1, top))
