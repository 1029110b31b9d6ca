"""Intervals and derived numbers from stored sums: everything here can be done again without the model.

The unit of chance is the document: tokens of one document are not independent, so an interval over tokens would be far
too narrow. A difference is a number of each document first, and has its interval as any other: it is paired.

Every interval is that of a ratio of two sums over documents, as a mean NLL is (nats over tokens). The standard error is
the jackknife's, which leaves out one document at a time (Efron and Tibshirani 1993, chapter 11): so a large document,
which draws the mean to itself, counts for what it may be off by. It is multiplied by quantiles of Student's t with one
degree of freedom fewer than the effective number of documents, (sum w)^2 / sum w^2 of their weights (Kish 1965), and
these are bent for the skewness of the documents by Hall's cubic transformation (1992, J. R. Stat. Soc. B 54, 221-228).
Of documents of one size without skewness it is Student's. No resampling enters, so the same sums always give the same
interval; a bootstrap, studentised too, holds the truth less often. Simulated studies say how often this one does
(scripts/interval_coverage.py, results/intervals/): 94 to 97 % from ten documents on, but 90 to 92 % where the NLL of
documents goes with their size, as then the few largest decide, and too seldom with fewer than ten skewed documents.

Shape suffixes: D documents, L context lengths, S resamples. Derived numbers take the NLL in nats at growing lengths on the
last axis: (L,) gives a number, (D, L) one for each document.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from posext.utils.errors import PosextError

LEVEL = 0.95
TOLERANCE = 0.01  # of the crop baseline's NLL, within which a context length is usable
NO_INTERVAL = "no interval"  # of one document alone: it says nothing of how documents differ


class Estimate(NamedTuple):
    """A number with its interval, whose ends are nan where there is none."""

    value: float
    low: float
    high: float


def resamples(documents: int, count: int, seed: int) -> np.ndarray:
    """How often each document is drawn in each bootstrap resample: (S, D)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(documents, np.full(documents, 1 / documents), size=count)


def mean_nll(
    nll_LD: np.ndarray, weight_D: np.ndarray, draws_SD: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean NLL of each length, weighted by tokens (or as the protocol says): (L,), and of each resample (S, L)."""
    return nll_LD.sum(-1) / weight_D.sum(), (draws_SD @ nll_LD.T) / (draws_SD @ weight_D)[:, None]


def interval(
    total_D: np.ndarray, weight_D: np.ndarray, per_D: np.ndarray | None = None
) -> Estimate:
    """The sum of `total` over documents, divided by that of `per`, with its interval; see `bounds`."""
    value, ends = bounds(
        total_D,
        weight_D,
        weight_D if per_D is None else per_D,
        np.array([1 - LEVEL, 1 + LEVEL]) / 2,
    )
    return Estimate(value, *map(float, ends))


def bounds(
    total_D: np.ndarray, weight_D: np.ndarray, per_D: np.ndarray, levels: np.ndarray
) -> tuple[float, np.ndarray]:
    """A ratio of sums, and what the truth lies below with each of some probabilities: how, the module says.

    Weights say how much a document counts; one without any is none. The bounds are nan with one document alone, and
    all is nan where `per` does not sum to more than 0.
    """
    counted_D = weight_D > 0
    total_D, weight_D, per_D = total_D[counted_D], weight_D[counted_D], per_D[counted_D]
    none = np.full(len(levels), np.nan)
    if not per_D.sum() > 0:
        return float("nan"), none
    value, documents = float(total_D.sum() / per_D.sum()), len(total_D)
    if documents < 2 or np.isnan(value):
        return value, none
    share_D = weight_D / weight_D.sum()
    off_D = (total_D - value * per_D) / per_D.sum()  # what each document adds to the value's error
    error = ((1 - 1 / documents) * ((off_D / (1 - share_D)) ** 2).sum()) ** 0.5
    if not error:
        return value, np.full(len(levels), value)
    skewness = (off_D**3 / share_D**2).sum() / (off_D**2 / share_D).sum() ** 1.5
    effective = 1 / (share_D**2).sum()
    t_quantiles = t.ppf(1 - levels, max(1.0, effective - 1))
    return value, value - error * bent(
        t_quantiles, float(np.clip(skewness / documents**0.5, -1, 1))
    )


def bent(quantiles: np.ndarray, skew: float) -> np.ndarray:
    """Quantiles of the studentised mean of skewed values: Hall's transformation, which makes it symmetric, turned back.

    `skew` is the skewness of the values over the square root of their number.
    """
    if abs(skew) < 1e-6:  # the limit, where the formula divides by 0
        return quantiles
    return 3 / skew * (np.cbrt(1 + skew * (quantiles - skew / 6)) - 1)


def wilson(correct: int, trials: int) -> Estimate:
    """A share of independent trials with its score interval (Wilson 1927), which holds at 0 and 1 and for few trials.

    Raises PosextError for counts that are no share.
    """
    if not 0 <= correct <= trials or trials < 1:
        raise PosextError(
            f"{correct} of {trials} is no share: trials must be at least 1, correct between 0 and trials"
        )
    share, z = correct / trials, float(norm.ppf((1 + LEVEL) / 2))
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    return Estimate(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def gain_share(
    nll_D: np.ndarray,
    floor_D: np.ndarray,
    start_nll_D: np.ndarray,
    start_floor_D: np.ndarray,
    weight_D: np.ndarray,
) -> Estimate:
    """Of what a longer context could lower the loss by, the share that it does: (start - nll) / (the same of the floor).

    `start` is at the training length. nan where the floor is no lower than there, as up to the training length.
    """
    return interval(start_nll_D - nll_D, weight_D, start_floor_D - floor_D)


def difference(nll_D: np.ndarray, other_D: np.ndarray, weight_D: np.ndarray) -> Estimate:
    """The mean NLL of one curve or length less another's, on the same targets of the same documents: paired."""
    return interval(nll_D - other_D, weight_D)


def verdict(difference: Estimate) -> str:
    """The word for a difference of NLL: `lower`, `higher` or `no difference seen`, by whether its interval holds 0.

    `no interval` where there is none.
    """
    if np.isnan(difference.low):
        return NO_INTERVAL
    if difference.high < 0:
        return "lower"
    return "higher" if difference.low > 0 else "no difference seen"


def against_crop(difference: Estimate, crop_nll: float) -> str:
    """The use a length makes of its context, from its difference to the crop baseline: `uses`, `survives` or `fails`.

    It uses it where the whole interval lies below 0, fails where the loss is over 1 % above the baseline, and survives
    between the two. `no interval` where there is none.
    """
    if np.isnan(difference.low):
        return NO_INTERVAL
    if difference.high < 0:
        return "uses"
    return "survives" if difference.value <= TOLERANCE * crop_nll else "fails"


def usable_length(
    lengths: list[int], nll_L: np.ndarray, train_length: int, crop_nll: float
) -> int | None:
    """The largest length up to which every length from the training length on stays within 1 % of the crop baseline.

    None where that fails at the training length already, or where it was not measured.
    """
    usable = None
    for length, nll in zip(lengths, nll_L, strict=True):
        if length >= train_length and (usable is not None or length == train_length):
            if not nll <= crop_nll * (1 + TOLERANCE):  # also where undefined (nan)
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
    """The share of resamples in which the usable length is the given one: a length has no interval."""
    found = [
        usable_length(lengths, nll_L, train_length, crop)
        for nll_L, crop in zip(nll_SL, crop_S, strict=True)
    ]
    return sum(length == usable for length in found) / len(found)


def gain_beyond_train(
    lengths: list[int], nll_LD: np.ndarray, weight_D: np.ndarray, train_length: int
) -> Estimate:
    """NLL at the training length less the lowest beyond it: above 0 where longer context helps.

    The best of several lengths leans towards a gain. So the low end allows for an error of any of them, each having its
    part of the probability (Bonferroni): the interval is at least as wide as it says.
    """
    start, beyond = (
        lengths.index(train_length),
        [i for i, length in enumerate(lengths) if length > train_length],
    )
    below = (1 - LEVEL) / 2
    levels = np.array([below / len(beyond), 1 - below])
    found = [bounds(nll_LD[start] - nll_LD[i], weight_D, weight_D, levels) for i in beyond]
    low, high = np.max([ends for _, ends in found], axis=0)
    return Estimate(max(value for value, _ in found), float(low), float(high))


def rise(lengths: list[int], nll_L: np.ndarray, train_length: int, multiple: int) -> np.ndarray:
    """NLL at a multiple of the training length less that at the training length."""
    return (
        nll_L[..., lengths.index(multiple * train_length)] - nll_L[..., lengths.index(train_length)]
    )


def area(lengths: list[int], nll_L: np.ndarray, train_length: int) -> np.ndarray:
    """The area between a curve from the training length on and its value there, over log2 L: nats times doublings."""
    start = lengths.index(train_length)
    above, doublings = nll_L[..., start:] - nll_L[..., start, None], np.log2(lengths[start:])
    return ((above[..., 1:] + above[..., :-1]) / 2 * np.diff(doublings)).sum(-1)
