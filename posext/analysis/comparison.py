"""Tables of paired differences between curves on common targets.

Confidence intervals over documents and over seeds are computed separately.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from posext.analysis import seed_spread, statistics
from posext.analysis.curves import curve_label
from posext.analysis.document_sums import StoredCurve, align_documents
from posext.analysis.seed_spread import Seeds, Spread
from posext.analysis.statistics import Estimate
from posext.eval.bayes_floor import FLOOR
from posext.utils.errors import PosextError

RISE_MULTIPLES = (2, 4, 8, 16)  # of the training length
DIFFERENCE_KEY = ["scheme", "model", "trained", "context"]  # one difference over seeds
ONE_RUN_CAVEAT = (
    "Between curves of one run a verdict is of that run's weights alone: "
    "other weights may give another."
)


@dataclass(frozen=True)
class Bootstrap:
    """Resampling of documents, for the uncertainty of a usable length.

    Args:
        count: Number of resamples.
        seed: Seed of the draws.

    Raises:
        PosextError: `count` is below 1, or `seed` is negative.
    """

    count: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.seed < 0:
            raise PosextError(
                "a bootstrap takes at least 1 resample and a seed of at least 0, "
                f"not {self.count} and {self.seed}"
            )

    def draws(self, documents: int) -> np.ndarray:
        """Number of draws of each document in each resample: (S, D)."""
        return statistics.resamples(documents, self.count, self.seed)


def to_first(curves: Sequence[StoredCurve]) -> pd.DataFrame:
    """Difference of every curve to the first scheme, at each common context length.

    The base is the first scheme's curve of the same seed, or its first curve if there is none; the
    column `less seed` is the seed of the base. A verdict holds over documents and over seeds (see
    `seed_spread.verdict_with_seeds`). Curves of one run share their weights, so seeds are not
    allowed for, and the verdict holds for those weights only.

    Args:
        curves: Curves on the same targets.

    Returns:
        A row per curve and context length, with the columns of `compare_sums`.

    Raises:
        PosextError: No two curves have a length in common, or `align_documents` fails.
    """
    base_key = curves[0].scheme_key
    base_curves = [curve for curve in curves if curve.scheme_key == base_key]
    base_by_seed = {curve.row.seed: curve for curve in reversed(base_curves)}
    rows = []
    limits = []
    for curve in curves:
        if curve.scheme_key == base_key:
            continue
        base = base_by_seed.get(curve.row.seed, base_curves[0])
        for length in sorted(curve.sums.keys() & base.sums.keys()):
            compared = compare_sums(curve.sums[length], base.sums[length], [curve.name, base.name])
            rows.append(
                {**curve_columns(curve, length), "less seed": int(base.row.seed), **compared}
            )
            limits.append(seed_limit(curve, base))
    if not rows:
        raise PosextError(
            "nothing to compare: name two curves or more that have a context length in common"
        )
    table = pd.DataFrame(rows)
    seeds_by_key = {
        tuple(row[:4]): Seeds(*row[4:]) for row in seeds_table(table).itertuples(index=False)
    }
    keys = table[DIFFERENCE_KEY].itertuples(index=False, name=None)
    seeds = [seeds_by_key.get(key) for key in keys]
    arguments = zip(table.verdict, table.difference, limits, seeds, strict=True)
    return table.assign(verdict=[seed_spread.verdict_with_seeds(*row) for row in arguments])


def seed_limit(curve: StoredCurve, base: StoredCurve) -> float:
    """Difference in nats that seeds alone may make: 0 within a run, nan if it is not known."""
    if curve.run == base.run:
        return 0.0
    return seed_spread.noise(spread_of(curve), spread_of(base))


def spread_of(curve: StoredCurve) -> Spread | None:
    """Known spread of a curve's scheme over seeds: 0 for the Bayes floor, which is not trained."""
    row = curve.row
    if row.extend == FLOOR:
        return Spread(0.0, 2)
    return seed_spread.known_spread(row.model, row.scheme)


def seed_caveats(curves: Sequence[StoredCurve]) -> list[str]:
    """Caveats of the verdicts of `to_first`, in sentences; empty if all curves have several seeds.

    They say why a verdict may not hold for the schemes in general.
    """
    trained = [curve for curve in curves if curve.row.extend != FLOOR]
    seeds: dict[Any, set[int]] = {}
    for curve in trained:
        seeds.setdefault(curve.scheme_key, set()).add(int(curve.row.seed))
    of_one_seed = [curve for curve in trained if len(seeds[curve.scheme_key]) == 1]
    if not of_one_seed:
        return []
    curves_by_run = Counter(curve.run for curve in trained)
    if len(curves_by_run) == 1:
        return [ONE_RUN_CAVEAT]
    caveats = seed_spread.sentences((curve.row.model, curve.row.scheme) for curve in of_one_seed)
    if max(curves_by_run.values()) > 1:
        return [*caveats, ONE_RUN_CAVEAT]
    return caveats


def compare_sums(
    sums: pd.DataFrame, base_sums: pd.DataFrame, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Paired difference of two frames of sums.

    Args:
        sums: Sums per document.
        base_sums: Sums that are subtracted.
        names: Names of the two frames, for the error message.

    Returns:
        `difference` in nats with the ends of its interval, the `ratio` of perplexities, the
        `verdict` over documents, and the number of `documents`.

    Raises:
        PosextError: As `align_documents` does.
    """
    (nll_D, base_D), weight_D = align_documents([sums, base_sums], names)
    estimate = statistics.difference(nll_D, base_D, weight_D)
    return {
        "difference": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "ratio": float(np.exp(estimate.value)),
        "verdict": statistics.verdict(estimate),
        "documents": len(weight_D),
    }


def to_crop(curve: StoredCurve) -> pd.DataFrame:
    """Difference of a curve to its crop baseline, at each length from the training length on.

    Raises:
        PosextError: The crop baseline was not measured.
    """
    (crop_D,), weight_D = align_documents([crop_or_raise(curve)])
    crop_nll = crop_D.sum() / weight_D.sum()
    rows = []
    for length in sorted(n for n in curve.sums if n >= curve.row.trained_length):
        compared = compare_sums(curve.sums[length], crop_or_raise(curve))
        estimate = Estimate(compared["difference"], compared["low"], compared["high"])
        verdict = statistics.against_crop(estimate, crop_nll)
        rows.append({**curve_columns(curve, length), **compared, "verdict": verdict})
    return pd.DataFrame(rows)


def derived(curve: StoredCurve, bootstrap: Bootstrap) -> dict[str, Any]:
    """Numbers derived from one curve.

    Args:
        curve: Curve with its crop baseline.
        bootstrap: Resampling of documents, for `share`.

    Returns:
        `usable`: the usable length. `share`: the share of resamples with the same usable length;
        None for one document, whose resamples are all equal. `gain`: the NLL at the training length
        minus the lowest beyond it. `2x` .. `16x`: the NLL at that multiple of the training length
        minus the NLL at it. `area`: the area above the value at the training length, in nats times
        doublings. All but the first two are Estimates, and None if a length was not measured.

    Raises:
        PosextError: The crop baseline was not measured.
    """
    lengths = sorted(curve.sums)
    train_length = int(curve.row.trained_length)
    frames = [crop_or_raise(curve), *(curve.sums[length] for length in lengths)]
    crop_and_nll_LD, weight_D = align_documents(frames)
    means, resampled = statistics.mean_nll(
        crop_and_nll_LD, weight_D, bootstrap.draws(len(weight_D))
    )
    crop_nll = means[0]
    nll_L = means[1:]
    crop_S = resampled[:, 0]
    nll_SL = resampled[:, 1:]
    nll_LD = crop_and_nll_LD[1:]
    usable = statistics.usable_length(lengths, nll_L, train_length, crop_nll)
    share = None
    if len(weight_D) > 1:
        share = statistics.usable_share(lengths, nll_SL, train_length, crop_S, usable)
    measured_beyond = train_length in lengths and lengths[-1] > train_length

    def estimate(statistic: Callable[..., Any], *arguments: int) -> Estimate:
        values_D = statistic(lengths, nll_LD.T, train_length, *arguments)
        return statistics.interval(values_D, weight_D)

    furthest = usable or statistics.NOWHERE if train_length in lengths else statistics.NOT_MEASURED
    numbers = {**curve_columns(curve), "usable": furthest, "share": share, "gain": None}
    if measured_beyond:
        numbers["gain"] = statistics.gain_beyond_train(lengths, nll_LD, weight_D, train_length)
    for multiple in RISE_MULTIPLES:
        measured = measured_beyond and multiple * train_length in lengths
        numbers[f"{multiple}x"] = estimate(statistics.rise, multiple) if measured else None
    numbers["area"] = estimate(statistics.area) if measured_beyond else None
    return numbers


def seeds_table(table: pd.DataFrame) -> pd.DataFrame:
    """Differences over seeds: mean, standard deviation and t interval.

    Args:
        table: Differences, as `to_first` or `to_crop` give them. Differences between curves of
            different seeds are left out.

    Returns:
        DIFFERENCE_KEY and the fields of `Seeds`, a row for each difference of several seeds.
    """
    rows = []
    pairs = table.loc[table["less seed"] == table.seed] if "less seed" in table else table
    for _, differences in pairs.groupby(DIFFERENCE_KEY, sort=False):
        if len(differences) > 1 and differences.seed.is_unique:
            seeds = seed_spread.over_seeds(differences.difference.tolist())
            rows.append({**differences.iloc[0][DIFFERENCE_KEY].to_dict(), **seeds._asdict()})
    return pd.DataFrame(rows, columns=[*DIFFERENCE_KEY, *Seeds._fields])


def crop_or_raise(curve: StoredCurve) -> pd.DataFrame:
    """Sums of a curve's crop baseline. Raises PosextError if it was not measured."""
    if curve.crop is None:
        raise PosextError(
            f"{curve.row.run} was not measured at its training length, "
            f"{curve.row.trained_length} tokens"
        )
    return curve.crop


def curve_columns(curve: StoredCurve, length: int | None = None) -> dict[str, Any]:
    """Columns that identify a curve in a table, and the context length if given."""
    row = curve.row
    columns = {
        "scheme": curve_label(row),
        "model": row.model,
        "trained": int(row.original_length),
        "seed": int(row.seed),
    }
    if length is not None:
        columns["context"] = length
    return columns
