"""Intervals and derived numbers from stored sums: everything here can be done again without the model.

The unit of chance is the document: tokens of one document are not independent, so resampling tokens would give intervals
that are far too narrow. The same resamples serve every length and scheme, which makes differences paired.

Shape suffixes: D documents, L context lengths, S resamples. Derived numbers take the NLL in nats at growing lengths on the
last axis: (L,) gives a number, (S, L) one for each resample.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

LEVEL = 0.95
TOLERANCE = 0.01  # of the crop baseline's NLL, within which a context length is usable


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


def resamples(documents: int, count: int, seed: int) -> np.ndarray:
    """How often each document is drawn in each bootstrap resample: (S, D). One document alone has no interval to give.

    Raises ValueError for less than one resample, and a negative seed.
    """
    if count < 1 or seed < 0:
        raise ValueError(f"a bootstrap takes at least 1 resample and a seed of at least 0, not {count} and {seed}")
    rng = np.random.default_rng(seed)
    return rng.multinomial(documents, np.full(documents, 1 / documents), size=count)


def mean_nll(nll_LD: np.ndarray, weight_D: np.ndarray, draws_SD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean NLL of each length, weighted by tokens (or as the protocol says): (L,), and of each resample (S, L)."""
    return nll_LD.sum(-1) / weight_D.sum(), (draws_SD @ nll_LD.T) / (draws_SD @ weight_D)[:, None]


def tail(documents: int) -> float:
    """The quantile of resamples at which an interval begins, expanded for few documents (Hesterberg 2015, arXiv:1411.5279).

    A bootstrap of n documents spreads less than the truth, by sqrt((n - 1) / n), and knows no more of the spread than they
    do. So it is taken where a t interval with n - 1 degrees of freedom would begin: 0.009 for 10 documents, 0.023 for 100.
    """
    freedom = max(1, documents - 1)
    return float(norm.cdf(t.ppf((1 - LEVEL) / 2, freedom) * (documents / freedom) ** 0.5))


def interval(value: float, resampled_S: np.ndarray, documents: int) -> Estimate:
    """The percentile interval of a statistic, expanded for few documents."""
    low, high = np.quantile(resampled_S, (tail(documents), 1 - tail(documents)))
    return Estimate(float(value), float(low), float(high))


def wilson(correct: int, trials: int) -> Estimate:
    """A share of independent trials with its score interval (Wilson 1927), which holds at 0 and 1 and for few trials.

    Raises ValueError for counts that are no share.
    """
    if not 0 <= correct <= trials or trials < 1:
        raise ValueError(f"{correct} of {trials} is no share: trials must be at least 1, correct between 0 and trials")
    share, z = correct / trials, float(norm.ppf((1 + LEVEL) / 2))
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    return Estimate(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def gain_share(nll: np.ndarray, floor: np.ndarray, start_nll: np.ndarray, start_floor: np.ndarray) -> np.ndarray:
    """Of what a longer context could lower the loss by, the share that it does: (start - nll) / (the same of the floor).

    `start` is at the training length. nan where the floor is no lower than there, as up to the training length.
    """
    could = np.asarray(start_floor - floor, dtype=float)
    return np.divide(start_nll - nll, could, out=np.full(np.broadcast(nll, could).shape, np.nan), where=could > 0)


def difference(nll_D: np.ndarray, other_D: np.ndarray, weight_D: np.ndarray, draws_SD: np.ndarray) -> Estimate:
    """The mean NLL of one curve or length less another's, on the same targets of the same documents: paired."""
    nll_L, resampled_SL = mean_nll(np.stack([nll_D, other_D]), weight_D, draws_SD)
    return interval(nll_L[0] - nll_L[1], resampled_SL[:, 0] - resampled_SL[:, 1], len(weight_D))


def verdict(difference: Estimate) -> str:
    """What a difference of NLL says: `lower`, `higher` or `no difference seen`, by whether its interval holds 0."""
    if difference.high < 0:
        return "lower"
    return "higher" if difference.low > 0 else "no difference seen"


def against_crop(difference: Estimate, crop_nll: float) -> str:
    """What a length makes of its context, from its difference to the crop baseline: `uses`, `survives` or `fails`.

    It uses it where the whole interval lies below 0, fails where the loss is over 1 % above the baseline, and survives
    between the two.
    """
    if difference.high < 0:
        return "uses"
    return "survives" if difference.value <= TOLERANCE * crop_nll else "fails"


def usable_length(lengths: list[int], nll_L: np.ndarray, train_length: int, crop_nll: float) -> int | None:
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
    lengths: list[int], nll_SL: np.ndarray, train_length: int, crop_S: np.ndarray, usable: int | None
) -> float:
    """The share of resamples in which the usable length is the given one: a length has no interval."""
    found = [usable_length(lengths, nll_L, train_length, crop) for nll_L, crop in zip(nll_SL, crop_S, strict=True)]
    return sum(length == usable for length in found) / len(found)


def gain_beyond_train(
    lengths: list[int], nll_L: np.ndarray, resampled_SL: np.ndarray, train_length: int, documents: int
) -> Estimate:
    """NLL at the training length less the lowest beyond it: above 0 where longer context helps.

    The best of several lengths leans towards a gain, and percentiles of resampled best ones lean twice as far. So the
    interval allows for the largest error of any length: it is at least as wide as it says.
    """
    start, beyond = lengths.index(train_length), [i for i, length in enumerate(lengths) if length > train_length]
    gain_L, resampled_SL = nll_L[start] - nll_L[beyond], resampled_SL[:, [start]] - resampled_SL[:, beyond]
    errors_SL, covered = resampled_SL - gain_L, 1 - tail(documents)
    over, under = np.quantile(errors_SL.max(-1), covered), np.quantile(-errors_SL.min(-1), covered)
    value = gain_L.max()
    return Estimate(float(value), float(value - over), float(value + under))


def rise(lengths: list[int], nll_L: np.ndarray, train_length: int, multiple: int) -> np.ndarray:
    """NLL at a multiple of the training length less that at the training length."""
    return nll_L[..., lengths.index(multiple * train_length)] - nll_L[..., lengths.index(train_length)]


def area(lengths: list[int], nll_L: np.ndarray, train_length: int) -> np.ndarray:
    """The area between a curve from the training length on and its value there, over log2 L: nats times doublings."""
    start = lengths.index(train_length)
    above, doublings = nll_L[..., start:] - nll_L[..., start, None], np.log2(lengths[start:])
    return ((above[..., 1:] + above[..., :-1]) / 2 * np.diff(doublings)).sum(-1)
