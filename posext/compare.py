"""Tables of differences between curves, on the targets they share: with intervals over documents, and apart, over seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from posext import statistics
from posext.curves import label
from posext.statistics import Estimate
from posext.stored import Curve, paired

MULTIPLES = (2, 4, 8, 16)  # of the training length


@dataclass(frozen=True)
class Bootstrap:
    """How documents are resampled, to say how sure a usable length is.

    Raises ValueError for less than one resample, and a negative seed.
    """

    count: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.seed < 0:
            raise ValueError(
                f"a bootstrap takes at least 1 resample and a seed of at least 0, not {self.count} and {self.seed}"
            )

    def draws(self, documents: int) -> np.ndarray:
        return statistics.resamples(documents, self.count, self.seed)


def to_first(curves: Sequence[Curve]) -> pd.DataFrame:
    """Every curve less the first at each length both have; less the first curve's seed of the same number, where there is.

    Raises ValueError where there is nothing to compare, or as `stored.paired` does.
    """
    first = [curve for curve in curves if curve.line == curves[0].line]
    by_seed, rows = {curve.row.seed: curve for curve in reversed(first)}, []
    for curve in curves:
        if curve.line != curves[0].line:
            base = by_seed.get(curve.row.seed, first[0])
            for length in sorted(curve.sums.keys() & base.sums.keys()):
                rows.append(named(curve, length) | compared(curve.sums[length], base.sums[length]))
    if not rows:
        raise ValueError("nothing to compare: name two curves or more that have a context length in common")
    return pd.DataFrame(rows)


def compared(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    """The difference of two frames of sums in nats, its interval, the ratio of perplexities, and what that says."""
    (nll_D, other_D), weight_D = paired([one, other])
    value, low, high = found = statistics.difference(nll_D, other_D, weight_D)
    numbers = {"difference": value, "low": low, "high": high, "ratio": float(np.exp(value))}
    return {**numbers, "verdict": statistics.verdict(found), "documents": len(weight_D)}


def to_crop(curve: Curve) -> pd.DataFrame:
    """A curve's lengths from the training length on, less the run as trained at its training length.

    Raises ValueError where that was not measured.
    """
    (crop_D,), weight_D = paired([crop_of(curve)])
    rows = []
    for length in sorted(n for n in curve.sums if n >= curve.row.train_length):
        row = compared(curve.sums[length], crop_of(curve))
        found = Estimate(row["difference"], row["low"], row["high"])
        rows.append(
            named(curve, length) | row | {"verdict": statistics.against_crop(found, crop_D.sum() / weight_D.sum())}
        )
    return pd.DataFrame(rows)


def derived(curve: Curve, bootstrap: Bootstrap) -> dict[str, Any]:
    """Numbers of one curve: the usable length, the share of resamples that agree, and estimates of gain, rises and area.

    The gain is the NLL at the training length less the lowest beyond it; 2x is the NLL at twice the training length less
    that at it; the area is in nats times doublings. None where a length was not measured, and as the share of the
    resamples of one document alone, which are all the same.
    """
    lengths, train_length = sorted(curve.sums), int(curve.row.train_length)
    nll_LD, weight_D = paired([crop_of(curve), *(curve.sums[length] for length in lengths)])
    nll_L, nll_SL = statistics.mean_nll(nll_LD, weight_D, bootstrap.draws(len(weight_D)))
    crop_nll, crop_S, nll_L, nll_SL = nll_L[0], nll_SL[:, 0], nll_L[1:], nll_SL[:, 1:]
    usable = statistics.usable_length(lengths, nll_L, train_length, crop_nll)
    share = statistics.usable_share(lengths, nll_SL, train_length, crop_S, usable) if len(weight_D) > 1 else None
    known = train_length in lengths and lengths[-1] > train_length

    def estimate(wanted: bool, statistic: Callable[..., Any], *extra: int) -> Estimate | None:
        if not wanted:
            return None
        return statistics.interval(statistic(lengths, nll_LD[1:].T, train_length, *extra), weight_D)

    rises = {f"{m}x": estimate(known and m * train_length in lengths, statistics.rise, m) for m in MULTIPLES}
    return {
        **named(curve),
        "usable": usable or "nowhere",
        "share": share,
        "gain": statistics.gain_beyond_train(lengths, nll_LD[1:], weight_D, train_length) if known else None,
        **rises,
        "area": estimate(known, statistics.area),
    }


def seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and range over seeds of the differences in a table, for curves of several seeds; empty where there are none."""
    rows = []
    for _, same in table.groupby(["scheme", "trained", "context"], sort=False):
        if same.seed.nunique() > 1:
            first = same.iloc[0][["scheme", "trained", "context"]].to_dict()
            rows.append(first | statistics.over_seeds(same.difference.tolist())._asdict())
    return pd.DataFrame(rows)


def crop_of(curve: Curve) -> pd.DataFrame:
    if curve.crop is None:
        raise ValueError(f"{curve.row.run} was not measured at its training length, {curve.row.train_length} tokens")
    return curve.crop


def named(curve: Curve, length: int | None = None) -> dict[str, Any]:
    row = curve.row
    name = {"scheme": label(row), "trained": int(row.original_length), "seed": int(row.seed)}
    return name if length is None else name | {"context": length}
