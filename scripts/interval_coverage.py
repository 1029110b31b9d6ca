"""How often the 95 % interval holds the truth, by number of documents, in simulated studies whose truth is known.

    python scripts/interval_coverage.py

A study's documents have means of their own, around 3 nats, and 50 to 149 tokens that scatter around these.
"""

import argparse

import numpy as np

from posext.statistics import LEVEL, interval, mean_nll, resamples

TRUTH = 3.0


def covered(documents: int, studies: int, count: int) -> tuple[float, float]:
    """The share of studies whose interval, and whose plain percentile interval, holds the truth; `count` resamples each."""
    rng, draws, hits = np.random.default_rng(0), resamples(documents, count, 1), np.zeros(2)
    for _ in range(studies):
        tokens = rng.integers(50, 150, size=documents)
        means = TRUTH + rng.normal(0, 0.5, size=documents)
        sums = means * tokens + rng.normal(0, 1, size=documents) * np.sqrt(tokens)
        nll, resampled = mean_nll(sums[None], tokens, draws)
        expanded = interval(nll[0], resampled[:, 0], documents)
        percentile = np.quantile(resampled[:, 0], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        hits += [expanded.low <= TRUTH <= expanded.high, percentile[0] <= TRUTH <= percentile[1]]
    return tuple(hits / studies)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[6, 10, 16, 20, 40, 64, 80])
    parser.add_argument("--studies", type=int, default=6000)
    given = parser.parse_args()
    print("documents  interval  percentile")
    for documents in given.documents:
        expanded, percentile = covered(documents, given.studies, count=1000)
        print(f"{documents:9}  {expanded:8.1%}  {percentile:10.1%}")
