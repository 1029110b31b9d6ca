"""How often the 95 % interval holds the truth, by number of documents, in simulated studies whose truth is known.

    python scripts/interval_coverage.py --out results/intervals/coverage.csv

A study draws documents, each with a size in tokens and a mean NLL of its own around 3 nats (deviation 0.5), and scatters
its sum around that. Like sizes are 50 to 149 tokens; lognormal ones have a median of 20,000 and 95 % within 2,800 to 142,000.
Skewed means are exponential. Correlated means fall with the log of the size (-0.5). A paired difference has a deviation of 0.1.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.statistics import LEVEL, Estimate, difference, interval, mean_nll, resamples

TRUTH, SPREAD, GAIN, CORRELATION = 3.0, 0.5, 0.1, -0.5
DOCUMENTS = (6, 10, 16, 20, 40, 64, 80)


class Study(NamedTuple):
    """Sums and sizes of documents, the same of a curve that each is held against, if any, and the truth."""

    nll_D: np.ndarray
    tokens_D: np.ndarray
    truth: float
    other_D: np.ndarray | None = None

    def interval(self) -> Estimate:
        if self.other_D is None:
            return interval(self.nll_D, self.tokens_D)
        return difference(self.nll_D, self.other_D, self.tokens_D)

    def percentiles(self, draws_SD: np.ndarray) -> np.ndarray:
        """The plain percentile interval of the bootstrap."""
        nll_D = self.nll_D if self.other_D is None else self.nll_D - self.other_D
        _, resampled_SL = mean_nll(nll_D[None], self.tokens_D, draws_SD)
        return np.quantile(resampled_SL[:, 0], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))


def like(rng: np.random.Generator, documents: int) -> np.ndarray:
    return rng.integers(50, 150, size=documents).astype(float)


def lognormal(rng: np.random.Generator, documents: int) -> np.ndarray:
    return 20_000 * np.exp(rng.normal(size=documents))


def sums(rng: np.random.Generator, means_D: np.ndarray, tokens_D: np.ndarray) -> np.ndarray:
    return means_D * tokens_D + rng.normal(size=len(tokens_D)) * np.sqrt(tokens_D)


def alone(sizes: Callable) -> Callable[[np.random.Generator, int], Study]:
    def study(rng: np.random.Generator, documents: int) -> Study:
        tokens_D = sizes(rng, documents)
        return Study(
            sums(rng, TRUTH + rng.normal(0, SPREAD, size=documents), tokens_D), tokens_D, TRUTH
        )

    return study


def skewed(rng: np.random.Generator, documents: int) -> Study:
    tokens_D = like(rng, documents)
    return Study(
        sums(rng, TRUTH + SPREAD * (rng.exponential(size=documents) - 1), tokens_D), tokens_D, TRUTH
    )


def correlated(rng: np.random.Generator, documents: int) -> Study:
    """Documents whose tokens, drawn from all of them, have a mean that is one deviation of log size from the documents'."""
    tokens_D = lognormal(rng, documents)
    rest_D = rng.normal(size=documents) * (1 - CORRELATION**2) ** 0.5
    means_D = TRUTH + SPREAD * (CORRELATION * np.log(tokens_D / 20_000) + rest_D)
    return Study(sums(rng, means_D, tokens_D), tokens_D, TRUTH + SPREAD * CORRELATION)


def paired(sizes: Callable) -> Callable[[np.random.Generator, int], Study]:
    def study(rng: np.random.Generator, documents: int) -> Study:
        base = alone(sizes)(rng, documents)
        nll_D = base.nll_D + rng.normal(0, GAIN, size=documents) * base.tokens_D
        return Study(nll_D, base.tokens_D, 0.0, base.nll_D)

    return study


SCENARIOS = {
    "like sizes": alone(like),
    "lognormal sizes": alone(lognormal),
    "skewed means": skewed,
    "sizes and means correlated": correlated,
    "paired, like sizes": paired(like),
    "paired, lognormal sizes": paired(lognormal),
}


def covered(scenario: str, documents: int, studies: int, count: int) -> dict[str, float]:
    """Shares of studies: the interval and the percentile interval hold the truth, it lies below, above; relative width."""
    rng, draws_SD, found = np.random.default_rng(documents), resamples(documents, count, 1), []
    for _ in range(studies):
        study = SCENARIOS[scenario](rng, documents)
        _, low, high = study.interval()
        below, above = study.truth < low, study.truth > high
        least, most = study.percentiles(draws_SD)
        found.append(
            (
                not (below or above),
                least <= study.truth <= most,
                below,
                above,
                high - low,
                most - least,
            )
        )
    held, percentile, below, above, width, others = np.mean(found, axis=0)
    return {
        "interval": held,
        "percentile": percentile,
        "below": below,
        "above": above,
        "width": width / others,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, nargs="+", default=DOCUMENTS)
    parser.add_argument(
        "--studies", type=int, default=6000, help="of each scenario and number of documents"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the percentile interval")
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    given = parser.parse_args()
    rows = [
        {
            "scenario": scenario,
            "documents": n,
            **covered(scenario, n, given.studies, given.resamples),
        }
        for scenario in SCENARIOS
        for n in given.documents
    ]
    table = pd.DataFrame(rows)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out, index=False, float_format="%.4f")
    forms = ("", "", ".1%", ".1%", ".1%", ".1%", ".2f")
    print(tabulate([[format(v, f) for v, f in zip(row, forms, strict=True)] for row in table.to_numpy()],
                   headers=list(table), tablefmt="github", disable_numparse=True))  # fmt: skip


if __name__ == "__main__":
    main()
