"""Spread of the loss over training seeds, measured where there are several and looked up otherwise.

`seed_spread.csv` has the standard deviation over seeds of the NLL at the training length, by model
and scheme; scripts/seed_spread.py makes it. The spread grows with the context length, so at longer
contexts it is a lower bound.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from posext.analysis.statistics import LEVEL, Estimate, verdict

SPREAD_FILE = Path(__file__).parent / "seed_spread.csv"
SPREAD_COLUMNS = ["model", "scheme", "trained_length", "tokens", "seeds", "sd_nats"]
VERDICT_WITHIN_SEEDS = "within seeds"  # another seed could have made the difference
VERDICT_ONE_SEED = "one seed"  # the spread over seeds is not known


class Spread(NamedTuple):
    """Standard deviation over seeds in nats, and the number of seeds."""

    sd: float
    seeds: int


class Seeds(NamedTuple):
    """Mean, standard deviation and t interval of a number over training seeds, not documents."""

    mean: float
    sd: float
    low: float
    high: float
    count: int


def over_seeds(values: Sequence[float]) -> Seeds:
    """Mean of two or more independent values, with its t interval of n - 1 degrees of freedom."""
    mean = float(np.mean(values))
    sd = float(np.std(values, ddof=1))
    count = len(values)
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * sd / count**0.5
    return Seeds(mean, sd, mean - half, mean + half, count)


@cache
def spread_table(file: Path) -> pd.DataFrame:
    """Contents of a file of spreads, in SPREAD_COLUMNS."""
    return pd.read_csv(file, dtype={"model": str, "scheme": str}, keep_default_na=False)


def known_spread(model: str, scheme: str) -> Spread | None:
    """Known spread of a scheme at a model size, of the most seeds.

    Without one, the largest spread of any scheme at that size; None if there is none.
    """
    rows = spread_table(SPREAD_FILE)
    of_model = rows.loc[rows.model == model]
    of_scheme = of_model.loc[of_model.scheme == scheme]
    if not len(of_model):
        return None
    if len(of_scheme):
        row = of_scheme.sort_values(["seeds", "sd_nats"]).iloc[-1]
    else:
        row = of_model.loc[of_model.sd_nats.idxmax()]
    return Spread(float(row.sd_nats), int(row.seeds))


def noise(one: Spread | None, other: Spread | None) -> float:
    """Largest difference in nats of two runs, each of one seed, that seeds alone may make.

    It is the half width of a t interval, because the spreads are of few seeds, with the degrees of
    freedom of Welch (1947). nan if a spread is not known.
    """
    if one is None or other is None:
        return float("nan")
    variance = one.sd**2 + other.sd**2
    if not variance:
        return 0.0
    freedom = variance**2 / (one.sd**4 / (one.seeds - 1) + other.sd**4 / (other.seeds - 1))
    return float(stdtrit(freedom, (1 + LEVEL) / 2)) * variance**0.5


def verdict_with_seeds(
    by_documents: str, difference: float, limit: float, seeds: Seeds | None
) -> str:
    """Verdict on a difference that holds over documents and over seeds.

    Args:
        by_documents: Verdict of the interval over documents.
        difference: Difference of mean NLL in nats.
        limit: Difference that seeds alone may make; nan if not known. Used without `seeds`.
        seeds: Difference over seeds, whose interval must give the same verdict; None for one seed.

    Returns:
        `by_documents`, VERDICT_WITHIN_SEEDS or VERDICT_ONE_SEED.
    """
    if by_documents not in ("lower", "higher"):
        return by_documents
    if seeds is not None:
        by_seeds = verdict(Estimate(seeds.mean, seeds.low, seeds.high))
        return by_documents if by_seeds == by_documents else VERDICT_WITHIN_SEEDS
    if np.isnan(limit):
        return VERDICT_ONE_SEED
    return by_documents if abs(difference) > limit else VERDICT_WITHIN_SEEDS


def sentences(curves: Iterable[tuple[str, str]]) -> list[str]:
    """Caveats of curves of one seed, given as (model, scheme): a sentence for each model size."""
    by_model: dict[str, list[str]] = {}
    for model, scheme in curves:
        by_model.setdefault(model, []).append(scheme)
    return [sentence(model, schemes) for model, schemes in by_model.items()]


def sentence(model: str, schemes: Sequence[str]) -> str:
    """Caveat of curves of one seed at one model size."""
    spreads = []
    for scheme in schemes:
        spread = known_spread(model, scheme)
        if spread is not None:
            spreads.append(spread)
    if not spreads:
        return (
            f"One seed: at this size ({model}) no seeds were compared, "
            "so it says nothing of how training varies."
        )
    widest = max(spreads)
    return (
        f"One seed: at this size ({model}), training again with another seed "
        f"moves the loss by {widest.sd:.2f} nats (standard deviation); "
        f"differences between runs below {noise(widest, widest):.2f} nats "
        "say nothing of the schemes."
    )
