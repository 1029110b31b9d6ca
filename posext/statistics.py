"""Intervals and derived numbers from stored sums: everything here can be done again without the model.

The unit of chance is the document: tokens of one document are not independent, so resampling tokens would give intervals
that are far too narrow. The same resamples serve every length and scheme, which makes differences paired.

Shape suffixes: D documents, L context lengths, S resamples.
"""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95
TOLERANCE = 0.01  # of the crop baseline's NLL, within which a context length is usable


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


def resamples(documents: int, count: int, seed: int) -> np.ndarray:
    """How often each document is drawn in each bootstrap resample: (S, D). One document alone has no interval to give."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(documents, np.full(documents, 1 / documents), size=count)


def mean_nll(nll_LD: np.ndarray, tokens_D: np.ndarray, draws_SD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token-weighted mean NLL of each length: of the documents (L,), and of each resample (S, L)."""
    return nll_LD.sum(-1) / tokens_D.sum(), (draws_SD @ nll_LD.T) / (draws_SD @ tokens_D)[:, None]


def interval(value: float, resampled_S: np.ndarray) -> Estimate:
    """The percentile interval of a statistic."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled_S, (tail, 1 - tail))
    return Estimate(float(value), float(low), float(high))


def gain_share(nll: np.ndarray, floor: np.ndarray, start_nll: np.ndarray, start_floor: np.ndarray) -> np.ndarray:
    """Of what a longer context could lower the loss by, the share that it does: (start - nll) / (the same of the floor).

    `start` is at the training length. nan where the floor is no lower than there, as up to the training length.
    """
    could = np.asarray(start_floor - floor, dtype=float)
    return np.divide(start_nll - nll, could, out=np.full(np.broadcast(nll, could).shape, np.nan), where=could > 0)


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
