"""Differences with both sources of chance: the documents that were drawn, and the training seeds.

Every seed is measured on the same documents, so the losses x_sd of seed s on document d are a
crossed table, and the variance of their mean is that of seeds over S, that of documents over D, and
that of the rest over S D. The mean over documents of a seed estimates the first (and the rest), the
mean over seeds of a document the second (and the rest), so the rest is subtracted once. The
interval is Student's with the degrees of freedom of Satterthwaite (1946), in which the variance of
seeds counts double: of few seeds it is often far too small, and would then promise degrees of
freedom that are not there.

In simulated studies of 3 and 5 seeds and 16 and 64 documents it holds the truth in 94 to 97 %, and
in up to 99 % where neither seeds nor documents differ and all is the rest. The percentile interval
of a bootstrap of seeds and documents holds it in 78 to 99 % (scripts/interval_coverage.py): three
seeds drawn again are never further apart than they are.

Shape suffixes: S seeds, D documents.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from posext.analysis import seed_spread, statistics
from posext.analysis.statistics import LEVEL, Estimate

# What rounding alone moves a run of one seed by, in nats: sums in another order, another processor
# (results/LOG.md, 2026-11-25). A difference of fewer says nothing of one pair of runs.
NOISE_FLOOR = 0.05
SEEDS_WEIGHT = 2.0  # of the variance of seeds, in the degrees of freedom


class TwoWay(NamedTuple):
    """A mean over seeds and documents in nats, with its uncertainty.

    Attributes:
        both: With the interval over seeds and documents together; no interval for one seed.
        documents: With the interval over documents, of the mean over seeds; no interval without
            sums of documents.
        seeds: With the t interval over seeds; None for one seed.
        p: Probability of a mean at least as far from 0, if the truth is 0; nan for one seed.
        count: Number of seeds.
    """

    both: Estimate
    documents: Estimate
    seeds: Estimate | None
    p: float
    count: int


def two_way(nll_SD: np.ndarray, weight_D: np.ndarray) -> TwoWay:
    """Mean of sums over documents and seeds.

    Args:
        nll_SD: Sums of NLL, or differences of sums: a row for each seed, on the same documents.
        weight_D: Weight of each document. One document stands for all of them together, and then
            there is no interval over documents: chance is that of seeds.

    Returns:
        The ratio of the sums, with its uncertainty.
    """
    count, n_documents = nll_SD.shape
    by_documents = statistics.interval(nll_SD.mean(0), weight_D)
    mean_S = nll_SD.sum(1) / weight_D.sum()
    value = float(mean_S.mean())
    nothing = Estimate(value, float("nan"), float("nan"))
    if count < 2:
        return TwoWay(nothing, by_documents, None, float("nan"), count)
    over_seeds = seed_spread.over_seeds(mean_S.tolist())
    by_seeds = Estimate(over_seeds.mean, over_seeds.low, over_seeds.high)
    seeds = float(mean_S.var(ddof=1)) / count
    documents = rest = 0.0
    freedom = 1.0
    if n_documents > 1:
        share_D = weight_D / weight_D.sum()
        freedom = max(1.0, 1 / float((share_D**2).sum()) - 1)
        scale_D = (1 - 1 / n_documents) / (weight_D.sum() * (1 - share_D)) ** 2  # jackknife
        influence_D = nll_SD.mean(0) - value * weight_D
        documents = float((scale_D * influence_D**2).sum())
        rest_SD = nll_SD - mean_S[:, None] * weight_D - influence_D
        rest = float((scale_D * rest_SD**2).sum()) / (count * (count - 1))
    variance = combined(seeds, documents, rest)
    if not variance:
        exact = Estimate(value, value, value)
        return TwoWay(exact, by_documents, by_seeds, float(value == 0), count)
    counted = SEEDS_WEIGHT * seeds
    degrees = combined(counted, documents, rest) ** 2 / (
        counted**2 / (count - 1) + documents**2 / freedom + rest**2 / ((count - 1) * freedom)
    )
    degrees = max(1.0, degrees)
    half = float(stdtrit(degrees, (1 + LEVEL) / 2)) * variance**0.5
    p = 2 * float(stdtr(degrees, -abs(value) / variance**0.5))
    return TwoWay(Estimate(value, value - half, value + half), by_documents, by_seeds, p, count)


def combined(seeds: float, documents: float, rest: float) -> float:
    """Variance of the mean, which is not below that of either source alone."""
    return max(seeds + documents - rest, seeds, documents)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust probabilities so that of those below a level that share is expected to be wrong.

    Benjamini and Hochberg (1995); nan stays, and is not counted.
    """
    p = np.asarray(p_values, dtype=float)
    order = [index for index in np.argsort(-p, kind="stable") if not np.isnan(p[index])]
    adjusted = np.full(len(p), np.nan)
    lowest = 1.0
    for above, index in enumerate(order):
        lowest = min(lowest, p[index] * len(order) / (len(order) - above))
        adjusted[index] = lowest
    return adjusted.tolist()


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust probabilities for their number (Holm 1979); nan stays, and is not counted.

    The chance that any of the hypotheses that are true has an adjusted value below 0.05 is at most
    0.05, however they depend on each other.
    """
    p = np.asarray(p_values, dtype=float)
    order = [index for index in np.argsort(p, kind="stable") if not np.isnan(p[index])]
    adjusted = np.full(len(p), np.nan)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted.tolist()
