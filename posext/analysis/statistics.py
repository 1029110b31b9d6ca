"""Confidence intervals and derived numbers from stored sums, without the model.

The sampling unit is the document. Tokens of one document are not independent, so an interval over
tokens would be far too narrow. A difference is computed per document first and then has its
interval like any other number: it is paired.

Every interval is an interval of a ratio of two sums over documents, such as a mean NLL (nats over
tokens). The standard error is the jackknife standard error, which leaves out one document at a time
(Efron and Tibshirani 1993, chapter 11); a large document, which pulls the mean to itself, therefore
counts with its full possible error. The standard error is multiplied by quantiles of Student's t
with one degree of freedom fewer than the effective number of documents, (sum w)^2 / sum w^2 of
their weights (Kish 1965). The quantiles are corrected for the skewness of the documents by Hall's
cubic transformation (1992, J. R. Stat. Soc. B 54, 221-228). For documents of one size without
skewness the result is Student's interval. No resampling is involved, so the same sums always give
the same interval; a bootstrap, studentised or not, covers the truth less often. Simulation studies
measure the coverage (scripts/interval_coverage.py, results/intervals/): 94 to 97 % from ten
documents on, but 90 to 92 % if the NLL of documents is correlated with their size, because the few
largest then dominate, and below the nominal level with fewer than ten skewed documents.

Shape suffixes: D documents, L context lengths, S resamples. Derived numbers take the NLL in nats at
growing lengths on the last axis: (L,) gives a number, and (D, L) one for each document.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from posext.utils.errors import PosextError

LEVEL = 0.95
TOLERANCE = 0.01  # a usable length is within this share of the crop baseline's NLL
NOWHERE = "nowhere"  # in place of a usable length
NOT_MEASURED = "not measured"  # in its place, where the training length was not
NO_INTERVAL = "no interval"  # of one document: it has no variation between documents
MIN_SKEW = 1e-6  # below it Hall's transformation is the identity, and its formula divides by 0


class Estimate(NamedTuple):
    """Number with its confidence interval, whose ends are nan if there is none."""

    value: float
    low: float
    high: float


def resamples(documents: int, count: int, seed: int) -> np.ndarray:
    """Number of draws of each document in each bootstrap resample: (S, D)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(documents, np.full(documents, 1 / documents), size=count)


def mean_nll(
    nll_LD: np.ndarray, weight_D: np.ndarray, draws_SD: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean NLL of each length, (L,), and of each length in each resample, (S, L).

    Weights are tokens, unless the protocol has others.
    """
    nll_L = nll_LD.sum(-1) / weight_D.sum()
    nll_SL = (draws_SD @ nll_LD.T) / (draws_SD @ weight_D)[:, None]
    return nll_L, nll_SL


def interval(
    total_D: np.ndarray, weight_D: np.ndarray, per_D: np.ndarray | None = None
) -> Estimate:
    """Ratio of sums over documents with its confidence interval.

    Args:
        total_D: Numerator of each document.
        weight_D: Weight of each document.
        per_D: Denominator of each document, by default its weight.

    Returns:
        The sum of `total_D` over the sum of `per_D`; see `bounds` for nan.
    """
    levels = np.array([1 - LEVEL, 1 + LEVEL]) / 2
    value, ends = bounds(total_D, weight_D, weight_D if per_D is None else per_D, levels)
    low, high = ends
    return Estimate(value, float(low), float(high))


def bounds(
    total_D: np.ndarray, weight_D: np.ndarray, per_D: np.ndarray, levels: np.ndarray
) -> tuple[float, np.ndarray]:
    """Ratio of sums over documents with confidence bounds, by the method of the module docstring.

    Documents without weight are left out.

    Args:
        total_D: Numerator of each document.
        weight_D: Weight of each document.
        per_D: Denominator of each document.
        levels: Probabilities that the truth lies below each bound.

    Returns:
        The ratio, and its bounds in the shape of `levels`. The bounds are nan for one document; all
        is nan if the sum of `per_D` is not above 0.
    """
    counted_D = weight_D > 0
    total_D = total_D[counted_D]
    weight_D = weight_D[counted_D]
    per_D = per_D[counted_D]
    no_bounds = np.full(len(levels), np.nan)
    if not per_D.sum() > 0:
        return float("nan"), no_bounds
    value = float(total_D.sum() / per_D.sum())
    documents = len(total_D)
    if documents < 2 or np.isnan(value):
        return value, no_bounds
    share_D = weight_D / weight_D.sum()
    # The contribution of each document to the error of the ratio.
    influence_D = (total_D - value * per_D) / per_D.sum()
    variance = (1 - 1 / documents) * ((influence_D / (1 - share_D)) ** 2).sum()
    standard_error = variance**0.5
    if not standard_error:
        return value, np.full(len(levels), value)
    skewness = (influence_D**3 / share_D**2).sum() / (influence_D**2 / share_D).sum() ** 1.5
    effective = 1 / (share_D**2).sum()
    t_quantiles = stdtrit(max(1.0, effective - 1), 1 - levels)
    skew = float(np.clip(skewness / documents**0.5, -1, 1))
    return value, value - standard_error * skew_quantiles(t_quantiles, skew)


def skew_quantiles(quantiles: np.ndarray, skew: float) -> np.ndarray:
    """Quantiles of the studentised mean of skewed values.

    Hall's transformation makes the studentised mean symmetric; this is its inverse. `skew` is the
    skewness of the values over the square root of their number.
    """
    if abs(skew) < MIN_SKEW:
        return quantiles
    return 3 / skew * (np.cbrt(1 + skew * (quantiles - skew / 6)) - 1)


def wilson(correct: int, trials: int) -> Estimate:
    """Proportion of independent trials with its score interval (Wilson 1927).

    The interval is valid at 0 and 1 and for few trials.

    Raises:
        PosextError: The counts are no proportion.
    """
    if not 0 <= correct <= trials or trials < 1:
        raise PosextError(
            f"{correct} of {trials} is no share: "
            "trials must be at least 1, correct between 0 and trials"
        )
    share = correct / trials
    z = float(ndtri((1 + LEVEL) / 2))
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    low = min(share, max(0.0, middle - half))
    high = max(share, min(1.0, middle + half))
    return Estimate(share, low, high)


def gain_share(
    nll_D: np.ndarray,
    floor_D: np.ndarray,
    start_nll_D: np.ndarray,
    start_floor_D: np.ndarray,
    weight_D: np.ndarray,
) -> Estimate:
    """Share of the possible gain from a longer context that a curve gets.

    It is (start_nll - nll) / (start_floor - floor).

    Args:
        nll_D: NLL sums of the curve.
        floor_D: NLL sums of the Bayes floor.
        start_nll_D: NLL sums of the curve as trained, at the training length.
        start_floor_D: NLL sums of the Bayes floor at the training length.
        weight_D: Weight of each document.

    Returns:
        The share; nan if the floor is not below the floor at the training length, as at lengths up
        to that.
    """
    return interval(start_nll_D - nll_D, weight_D, start_floor_D - floor_D)


def difference(nll_D: np.ndarray, other_D: np.ndarray, weight_D: np.ndarray) -> Estimate:
    """Paired difference of mean NLL, on the same targets of the same documents."""
    return interval(nll_D - other_D, weight_D)


def verdict(difference: Estimate) -> str:
    """Verdict on a difference of NLL: `lower`, `higher` or `no difference seen`.

    It depends on whether the interval contains 0. `no interval` if there is none.
    """
    if np.isnan(difference.low):
        return NO_INTERVAL
    if difference.high < 0:
        return "lower"
    return "higher" if difference.low > 0 else "no difference seen"


def against_crop(difference: Estimate, crop_nll: float) -> str:
    """Verdict on a context length relative to the crop baseline: `uses`, `survives` or `fails`.

    `uses` means that the whole interval is below 0; `fails`, that the loss is over 1 % above the
    baseline; `survives`, anything between. `no interval` if there is none.
    """
    if np.isnan(difference.low):
        return NO_INTERVAL
    if difference.high < 0:
        return "uses"
    return "survives" if difference.value <= TOLERANCE * crop_nll else "fails"


def usable_length(
    lengths: list[int], nll_L: np.ndarray, train_length: int, crop_nll: float
) -> int | None:
    """Usable length (effective context length) of a curve.

    Args:
        lengths: Context lengths, increasing.
        nll_L: Mean NLL at each length; nan if undefined.
        train_length: Longest length trained, in tokens.
        crop_nll: NLL of the crop baseline.

    Returns:
        The largest length up to which every length from the training length on stays within 1 % of
        the crop baseline; None if the training length does not, or was not measured.
    """
    usable = None
    for length, nll in zip(lengths, nll_L, strict=True):
        if length < train_length or (usable is None and length != train_length):
            continue
        within = nll <= crop_nll * (1 + TOLERANCE)  # False for nan
        if not within:
            break
        usable = length
    return usable


def usable_share(
    lengths: list[int],
    nll_SL: np.ndarray,
    train_length: int,
    crop_S: np.ndarray,
    usable: int | None,
) -> float:
    """Share of resamples with the given usable length; it stands in for an interval of a length."""
    usable_lengths = [
        usable_length(lengths, nll_L, train_length, crop_nll)
        for nll_L, crop_nll in zip(nll_SL, crop_S, strict=True)
    ]
    return sum(length == usable for length in usable_lengths) / len(usable_lengths)


def gain_beyond_train(
    lengths: list[int], nll_LD: np.ndarray, weight_D: np.ndarray, train_length: int
) -> Estimate:
    """NLL at the training length minus the lowest beyond it: above 0 if longer context helps.

    The best of several lengths is biased towards a gain. The low end therefore allows for an error
    of any of them, with an equal part of the probability each (Bonferroni), and the interval covers
    at least its level.
    """
    start = lengths.index(train_length)
    beyond = [index for index, length in enumerate(lengths) if length > train_length]
    tail = (1 - LEVEL) / 2
    levels = np.array([tail / len(beyond), 1 - tail])
    gains = [bounds(nll_LD[start] - nll_LD[index], weight_D, weight_D, levels) for index in beyond]
    low, high = np.max([ends for _, ends in gains], axis=0)
    return Estimate(max(value for value, _ in gains), float(low), float(high))


def rise(lengths: list[int], nll_L: np.ndarray, train_length: int, multiple: int) -> np.ndarray:
    """NLL at a multiple of the training length minus the NLL at the training length."""
    end = lengths.index(multiple * train_length)
    start = lengths.index(train_length)
    return nll_L[..., end] - nll_L[..., start]


def area(lengths: list[int], nll_L: np.ndarray, train_length: int) -> np.ndarray:
    """Area between a curve and its value at the training length, from that length on.

    It is taken over log2 of the context length: nats times doublings.
    """
    start = lengths.index(train_length)
    above = nll_L[..., start:] - nll_L[..., start, None]
    doublings = np.log2(lengths[start:])
    return ((above[..., 1:] + above[..., :-1]) / 2 * np.diff(doublings)).sum(-1)
