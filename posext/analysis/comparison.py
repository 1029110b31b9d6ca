"""Tables of differences between curves, on their common targets: with intervals over documents, and apart, over seeds."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from posext.analysis import seed_spread, statistics
from posext.analysis.curves import curve_label
from posext.analysis.document_sums import StoredCurve, align_documents
from posext.analysis.seed_spread import Spread
from posext.analysis.statistics import Estimate
from posext.eval.bayes_floor import FLOOR
from posext.utils.errors import PosextError

MULTIPLES = (2, 4, 8, 16)  # of the training length
ONE = ["scheme", "trained", "context"]  # one difference over seeds
WEIGHTS = "Between curves of one run a verdict is of that run's weights alone: other weights may give another."


@dataclass(frozen=True)
class Bootstrap:
    """How documents are resampled, to say how sure a usable length is.

    Raises PosextError for less than one resample, and a negative seed.
    """

    count: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.seed < 0:
            raise PosextError(
                f"a bootstrap takes at least 1 resample and a seed of at least 0, not {self.count} and {self.seed}"
            )

    def draws(self, documents: int) -> np.ndarray:
        return statistics.resamples(documents, self.count, self.seed)


def to_first(curves: Sequence[StoredCurve]) -> pd.DataFrame:
    """Every curve less the first at each length both have; less the first curve's seed of the same number, where there is.

    `less seed` is that seed. A verdict holds over documents, and over seeds too: `spread.judged` says how. Between curves of
    one run there is nothing of seeds to allow for, so there it is of that run's weights alone.

    Raises PosextError where there is nothing to compare, or as `stored.paired` does.
    """
    first = [curve for curve in curves if curve.line == curves[0].line]
    by_seed = {curve.row.seed: curve for curve in reversed(first)}
    rows, limits = [], []
    for curve in curves:
        if curve.line != curves[0].line:
            base = by_seed.get(curve.row.seed, first[0])
            for length in sorted(curve.sums.keys() & base.sums.keys()):
                found = compared(curve.sums[length], base.sums[length], [curve.name, base.name])
                rows.append({**named(curve, length), "less seed": int(base.row.seed), **found})
                limits.append(limit(curve, base))
    if not rows:
        raise PosextError(
            "nothing to compare: name two curves or more that have a context length in common"
        )
    table = pd.DataFrame(rows)
    over = {
        tuple(row[:3]): seed_spread.Seeds(*row[3:])
        for row in seeds_table(table).itertuples(index=False)
    }
    of_seeds = [over.get(key) for key in table[ONE].itertuples(index=False, name=None)]
    judged = zip(table.verdict, table.difference, limits, of_seeds, strict=True)
    return table.assign(verdict=[seed_spread.judged(*each) for each in judged])


def limit(curve: StoredCurve, base: StoredCurve) -> float:
    """The difference of two curves that seeds alone may make: 0 within a run, nan where it is not known."""
    return 0.0 if curve.run == base.run else seed_spread.noise(spread_of(curve), spread_of(base))


def spread_of(curve: StoredCurve) -> Spread | None:
    row = curve.row
    return (
        Spread(0.0, 2) if row.extend == FLOOR else seed_spread.known(row.model, row.scheme)
    )  # a floor is not trained


def about_seeds(curves: Sequence[StoredCurve]) -> list[str]:
    """What keeps the verdicts of `to_first` from being of schemes, in sentences; none where all curves have several seeds."""
    trained = [curve for curve in curves if curve.row.extend != FLOOR]
    found: dict[Any, set[int]] = {}
    for curve in trained:
        found.setdefault(curve.line, set()).add(int(curve.row.seed))
    alone = [curve for curve in trained if len(found[curve.line]) == 1]
    if not alone:
        return []
    if len({curve.run for curve in trained}) == 1:
        return [WEIGHTS]
    said = seed_spread.sentences((curve.row.model, curve.row.scheme) for curve in alone)
    several = max(Counter(curve.run for curve in trained).values()) > 1
    return [*said, WEIGHTS] if several else said


def compared(one: pd.DataFrame, other: pd.DataFrame, names: Sequence[str] = ()) -> dict[str, Any]:
    """The difference of two frames of sums in nats, its interval, the ratio of perplexities, and what that says."""
    (nll_D, other_D), weight_D = align_documents([one, other], names)
    value, low, high = found = statistics.difference(nll_D, other_D, weight_D)
    numbers = {"difference": value, "low": low, "high": high, "ratio": float(np.exp(value))}
    return {**numbers, "verdict": statistics.verdict(found), "documents": len(weight_D)}


def to_crop(curve: StoredCurve) -> pd.DataFrame:
    """A curve's lengths from the training length on, less the run as trained at its training length.

    Raises PosextError where that was not measured.
    """
    (crop_D,), weight_D = align_documents([crop_of(curve)])
    rows = []
    for length in sorted(n for n in curve.sums if n >= curve.row.trained_length):
        row = compared(curve.sums[length], crop_of(curve))
        found = Estimate(row["difference"], row["low"], row["high"])
        rows.append(
            named(curve, length)
            | row
            | {"verdict": statistics.against_crop(found, crop_D.sum() / weight_D.sum())}
        )
    return pd.DataFrame(rows)


def derived(curve: StoredCurve, bootstrap: Bootstrap) -> dict[str, Any]:
    """Numbers of one curve: the usable length, the share of resamples that agree, and estimates of gain, rises and area.

    The gain is the NLL at the training length less the lowest beyond it; 2x is the NLL at twice the training length less
    that at it; the area is in nats times doublings. None where a length was not measured, and as the share of the
    resamples of one document alone, which are all the same.
    """
    lengths, train_length = sorted(curve.sums), int(curve.row.trained_length)
    nll_LD, weight_D = align_documents(
        [crop_of(curve), *(curve.sums[length] for length in lengths)]
    )
    nll_L, nll_SL = statistics.mean_nll(nll_LD, weight_D, bootstrap.draws(len(weight_D)))
    crop_nll, crop_S, nll_L, nll_SL = nll_L[0], nll_SL[:, 0], nll_L[1:], nll_SL[:, 1:]
    usable = statistics.usable_length(lengths, nll_L, train_length, crop_nll)
    share = (
        statistics.usable_share(lengths, nll_SL, train_length, crop_S, usable)
        if len(weight_D) > 1
        else None
    )
    known = train_length in lengths and lengths[-1] > train_length

    def estimate(wanted: bool, statistic: Callable[..., Any], *extra: int) -> Estimate | None:
        if not wanted:
            return None
        return statistics.interval(statistic(lengths, nll_LD[1:].T, train_length, *extra), weight_D)

    rises = {
        f"{m}x": estimate(known and m * train_length in lengths, statistics.rise, m)
        for m in MULTIPLES
    }
    return {
        **named(curve),
        "usable": usable or "nowhere",
        "share": share,
        "gain": statistics.gain_beyond_train(lengths, nll_LD[1:], weight_D, train_length)
        if known
        else None,
        **rises,
        "area": estimate(known, statistics.area),
    }


def seeds_table(table: pd.DataFrame) -> pd.DataFrame:
    """The differences in a table over seeds, for curves of several, seeds of one number paired: their mean, their standard
    deviation and a t interval. Empty where there are none."""
    rows = []
    pairs = table.loc[table["less seed"] == table.seed] if "less seed" in table else table
    for _, same in pairs.groupby(ONE, sort=False):
        if same.seed.nunique() > 1:
            rows.append(
                same.iloc[0][ONE].to_dict()
                | seed_spread.over_seeds(same.difference.tolist())._asdict()
            )
    return pd.DataFrame(rows, columns=[*ONE, *seed_spread.Seeds._fields])


def over_seeds(curves: Sequence[StoredCurve]) -> pd.DataFrame:
    """Every scheme less the first, over the seeds both have, at each length: one row for all seeds.

    `difference` is the mean over seeds in nats; `documents` its interval over documents, of the mean over seeds of each, and
    `over seeds` the paired t interval of the seeds' own differences. The verdict is one word where both say the same,
    and otherwise as `spread.judged` has it. Raises PosextError as `to_first` does.
    """
    lines: dict[Any, dict[int, StoredCurve]] = {}
    for curve in curves:
        lines.setdefault(curve.line, {})[int(curve.row.seed)] = curve
    (_, base), *others = lines.items()
    rows = []
    for _, of_line in others:
        both = sorted(of_line.keys() & base.keys())
        for length in sorted(
            set.intersection(*(set(of_line[s].sums) & set(base[s].sums) for s in both))
            if both
            else ()
        ):
            rows.append(over_both(of_line, base, both, length))
    if not rows:
        raise PosextError(
            "nothing to compare: name two schemes or more that have a seed and a context length in common"
        )
    return pd.DataFrame(rows)


def over_both(
    of_line: dict[int, StoredCurve], base: dict[int, StoredCurve], both: Sequence[int], length: int
) -> dict[str, Any]:
    """One row of `over_seeds`."""
    frames = [lines[seed].sums[length] for seed in both for lines in (of_line, base)]
    nll_LD, weight_D = align_documents(
        frames, [lines[seed].name for seed in both for lines in (of_line, base)]
    )
    difference_SD = nll_LD[::2] - nll_LD[1::2]
    documents = statistics.interval(difference_SD.mean(0), weight_D)
    row = named(of_line[both[0]], length)
    del row["seed"]
    found = {**row, "seeds": len(both), "difference": documents.value, "documents": documents}
    by_documents = statistics.verdict(documents)
    if len(both) < 2:
        limits = limit(of_line[both[0]], base[both[0]])
        return {
            **found,
            "over seeds": None,
            "verdict": seed_spread.judged(by_documents, documents.value, limits, None),
        }
    seeds = seed_spread.over_seeds((difference_SD.sum(1) / weight_D.sum()).tolist())
    verdict = seed_spread.judged(by_documents, seeds.mean, float("nan"), seeds)
    return {**found, "over seeds": Estimate(seeds.mean, seeds.low, seeds.high), "verdict": verdict}


def crop_of(curve: StoredCurve) -> pd.DataFrame:
    if curve.crop is None:
        raise PosextError(
            f"{curve.row.run} was not measured at its training length, {curve.row.trained_length} tokens"
        )
    return curve.crop


def named(curve: StoredCurve, length: int | None = None) -> dict[str, Any]:
    row = curve.row
    name = {"scheme": curve_label(row), "trained": int(row.original_length), "seed": int(row.seed)}
    return name if length is None else name | {"context": length}
