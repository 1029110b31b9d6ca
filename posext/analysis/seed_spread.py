"""How far training again with another seed moves a loss: what several seeds say, and what is known where there is one.

`seed_spread.csv` has the standard deviation over seeds of the NLL at the training length, by model and scheme. It is made by
scripts/seed_spread.py. Seeds differ more at longer contexts, so there it is the least that they differ by.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t

from posext.analysis.statistics import LEVEL, Estimate, verdict

FILE = Path(__file__).parent / "seed_spread.csv"
COLUMNS = "model scheme trained_length tokens seeds sd_nats".split()
WITHIN = "within seeds"  # the verdict on a difference that another seed could have made
ALONE = "one seed"  # the verdict where nothing is known of other seeds


class Spread(NamedTuple):
    """A standard deviation over seeds, in nats."""

    sd: float
    seeds: int


class Seeds(NamedTuple):
    """One number over seeds of the model: mean, standard deviation and t interval. It says nothing of documents."""

    mean: float
    sd: float
    low: float
    high: float
    count: int


def over_seeds(values: Sequence[float]) -> Seeds:
    """The mean of independent values, of two or more, with its t interval of n - 1 degrees of freedom."""
    mean, sd, count = float(np.mean(values)), float(np.std(values, ddof=1)), len(values)
    half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * sd / count**0.5
    return Seeds(mean, sd, mean - half, mean + half, count)


@cache
def table(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype={"model": str, "scheme": str}, keep_default_na=False)


def known(model: str, scheme: str) -> Spread | None:
    """The spread of a scheme at a size; else the largest of any scheme at that size; None where no seeds were compared."""
    rows = table(FILE)
    of_model = rows.loc[rows.model == model]
    of_scheme = of_model.loc[of_model.scheme == scheme]
    found = of_scheme if len(of_scheme) else of_model
    if not len(found):
        return None
    widest = found.loc[found.sd_nats.idxmax()]
    return Spread(float(widest.sd_nats), int(widest.seeds))


def noise(one: Spread | None, other: Spread | None) -> float:
    """The largest difference of two runs, of a seed each, that seeds alone may make; nan where a spread is not known.

    It is a t interval's half width, as the spreads are of few seeds: degrees of freedom as of Welch (1947).
    """
    if one is None or other is None:
        return float("nan")
    variance = one.sd**2 + other.sd**2
    if not variance:
        return 0.0
    freedom = variance**2 / (one.sd**4 / (one.seeds - 1) + other.sd**4 / (other.seeds - 1))
    return float(t.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5


def judged(by_documents: str, difference: float, limit: float, seeds: Seeds | None) -> str:
    """The verdict on a difference by its documents, kept where it holds over seeds too.

    Of several seeds the interval must say the same; of one the difference must exceed `limit`, which is nan if not known.
    """
    if by_documents not in ("lower", "higher"):
        return by_documents
    if seeds is not None:
        return (
            by_documents
            if verdict(Estimate(seeds.mean, seeds.low, seeds.high)) == by_documents
            else WITHIN
        )
    if np.isnan(limit):
        return ALONE
    return by_documents if abs(difference) > limit else WITHIN


def sentences(curves: Iterable[tuple[str, str]]) -> list[str]:
    """What one seed leaves open, for each size among the (model, scheme) of some curves."""
    by_model: dict[str, list[str]] = {}
    for model, scheme in curves:
        by_model.setdefault(model, []).append(scheme)
    return [sentence(model, schemes) for model, schemes in by_model.items()]


def sentence(model: str, schemes: Sequence[str]) -> str:
    spreads = [found for scheme in schemes if (found := known(model, scheme))]
    if not spreads:
        return f"One seed: at this size ({model}) no seeds were compared, so it says nothing of how training varies."
    widest = max(spreads)
    return (
        f"One seed: at this size ({model}), training again with another seed moves the loss by {widest.sd:.2f} nats "
        f"(standard deviation); differences between runs below {noise(widest, widest):.2f} nats say nothing of the schemes."
    )
