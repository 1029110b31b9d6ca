"""Coverage of the 95 % interval by number of documents, in simulated studies with a known truth.

    python scripts/interval_coverage.py --out results/intervals/coverage.csv

A study draws documents, each with a size in tokens and a mean NLL of its own around 3 nats, with a
standard deviation of 0.5, and scatters the document's sum around that. Sizes are alike (50 to 149
tokens) or lognormal (median 20,000, 95 % within 2,800 to 142,000). Skewed means are exponential.
Correlated means fall with the logarithm of the size (-0.5). A paired difference has a standard
deviation of 0.1.

    python scripts/interval_coverage.py --seeds 3 5 --out results/intervals/two_way.csv

is the coverage of the interval over seeds and documents together, where a difference varies with
the seed, with the document, and with both: a row for each of SOURCES.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.statistics import LEVEL, Estimate, difference, interval, mean_nll, resamples
from posext.analysis.two_way import two_way

TRUTH = 3.0  # nats
SPREAD = 0.5  # nats, standard deviation of document means
DIFFERENCE_SPREAD = 0.1  # nats, standard deviation of paired differences
CORRELATION = -0.5  # of document means with the logarithm of sizes
DOCUMENTS = (6, 10, 16, 20, 40, 64, 80)
TWO_WAY_DOCUMENTS = (16, 64)
SOURCES = {  # nats: standard deviations over seeds, over documents, and of the rest
    "documents vary most": (0.02, 0.16, 0.05),
    "all vary": (0.02, 0.1, 0.1),
    "seeds vary most": (0.1, 0.1, 0.1),
    "seeds do not vary": (0.0, 0.1, 0.1),
    "the rest varies most": (0.02, 0.02, 0.3),
}


class Study(NamedTuple):
    """Sums and sizes of documents, and the true value of the estimate.

    A paired study also has the sums of a second curve.
    """

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
    """A study whose document means fall with their sizes.

    The mean over tokens then differs from the mean over documents, by one standard deviation of log
    size times the correlation.
    """
    tokens_D = lognormal(rng, documents)
    rest_D = rng.normal(size=documents) * (1 - CORRELATION**2) ** 0.5
    means_D = TRUTH + SPREAD * (CORRELATION * np.log(tokens_D / 20_000) + rest_D)
    return Study(sums(rng, means_D, tokens_D), tokens_D, TRUTH + SPREAD * CORRELATION)


def paired(sizes: Callable) -> Callable[[np.random.Generator, int], Study]:
    def study(rng: np.random.Generator, documents: int) -> Study:
        base = alone(sizes)(rng, documents)
        nll_D = base.nll_D + rng.normal(0, DIFFERENCE_SPREAD, size=documents) * base.tokens_D
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
    """Simulate studies of one scenario.

    Args:
        scenario: a key of SCENARIOS.
        documents: the number of documents of a study.
        studies: the number of studies.
        count: resamples of the percentile interval.

    Returns:
        The shares of studies in which the interval, and the percentile interval, holds the truth;
        in which the truth lies below and above the interval; and the ratio of the widths.
    """
    rng = np.random.default_rng(documents)
    draws_SD = resamples(documents, count, 1)
    outcomes = []
    for _ in range(studies):
        study = SCENARIOS[scenario](rng, documents)
        _, low, high = study.interval()
        below = study.truth < low
        above = study.truth > high
        percentile_low, percentile_high = study.percentiles(draws_SD)
        outcomes.append(
            (
                not (below or above),
                percentile_low <= study.truth <= percentile_high,
                below,
                above,
                high - low,
                percentile_high - percentile_low,
            )
        )
    interval_share, percentile_share, below, above, width, percentile_width = np.mean(
        outcomes, axis=0
    )
    return {
        "interval": interval_share,
        "percentile": percentile_share,
        "below": below,
        "above": above,
        "width": width / percentile_width,
    }


def covered_two_way(
    source: str, seeds: int, documents: int, studies: int, count: int
) -> dict[str, float]:
    """Simulate studies of several seeds on the same documents, whose true difference is 0.

    Args:
        source: a key of SOURCES.
        seeds: the number of seeds.
        documents: the number of documents.
        studies: the number of studies.
        count: resamples, of seeds and documents, of the bootstrap.

    Returns:
        The shares of studies in which an interval holds the truth: `both` (two_way), the percentile
        interval of the `bootstrap`, and the intervals over `documents` and over `seeds` alone.
    """
    rng = np.random.default_rng(seeds * documents)
    over_seeds, over_documents, rest = SOURCES[source]
    draws_RS = resamples(seeds, count, 1)
    draws_RD = resamples(documents, count, 2)
    outcomes = []
    for _ in range(studies):
        tokens_D = like(rng, documents)
        mean_SD = over_seeds * rng.normal(size=(seeds, 1)) + over_documents * rng.normal(
            size=documents
        )
        sums_SD = (mean_SD + rest * rng.normal(size=(seeds, documents))) * tokens_D
        found = two_way(sums_SD, tokens_D)
        resampled_R = ((draws_RS @ sums_SD) * draws_RD).sum(1) / seeds / (draws_RD @ tokens_D)
        low, high = np.quantile(resampled_R, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        intervals = [found.both, Estimate(0.0, low, high), found.documents, found.seeds]
        outcomes.append([each.low <= 0 <= each.high for each in intervals if each])
    names = ("both", "bootstrap", "documents alone", "seeds alone")
    return dict(zip(names, map(float, np.mean(outcomes, axis=0)), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--documents", type=int, nargs="+", default=DOCUMENTS, help="numbers of documents"
    )
    parser.add_argument(
        "--studies", type=int, default=6000, help="studies of each scenario and number of documents"
    )
    parser.add_argument(
        "--resamples", type=int, default=1000, help="resamples of the percentile interval"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="numbers of seeds: intervals over both"
    )
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    options = parser.parse_args()
    forms = ("", "", ".1%", ".1%", ".1%", ".1%", ".2f")
    rows = []
    if options.seeds:
        forms = ("", "", "", ".1%", ".1%", ".1%", ".1%")
        rows = [
            {
                "scenario": source,
                "seeds": seeds,
                "documents": n,
                **covered_two_way(source, seeds, n, options.studies, options.resamples),
            }
            for source in SOURCES
            for seeds in options.seeds
            for n in TWO_WAY_DOCUMENTS
        ]
    rows = rows or [
        {
            "scenario": scenario,
            "documents": n,
            **covered(scenario, n, options.studies, options.resamples),
        }
        for scenario in SCENARIOS
        for n in options.documents
    ]
    table = pd.DataFrame(rows)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.out, index=False, float_format="%.4f")
    cells = [
        [format(value, form) for value, form in zip(row, forms, strict=True)]
        for row in table.to_numpy()
    ]
    print(tabulate(cells, headers=list(table), tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
