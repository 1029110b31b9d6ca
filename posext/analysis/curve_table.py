"""Tables of perplexity: a row for each curve, a column for each context length."""

from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.curves import (
    CURVE_OF_RUN,
    CURVE_OVER_SEEDS,
    curve_label,
    dedupe_floor,
    refuse_repeated_seeds,
)
from posext.analysis.same_targets import refuse_mixed_targets
from posext.analysis.statistics import NO_INTERVAL, NOT_MEASURED, NOWHERE, usable_length
from posext.eval.bayes_floor import FLOOR
from posext.eval.protocols import COMPARABLE


def crop_baseline(curve: pd.DataFrame, all_curves: pd.DataFrame) -> float:
    """NLL of the crop baseline of a curve (see the terms of posext.analysis.curves).

    It is looked up in `all_curves`. Without the run's curve as trained there, it is the curve's own
    NLL at the training length; nan if that was not measured.
    """
    first = curve.iloc[0]
    of_run = all_curves.loc[
        (all_curves.run == first.run)
        & (all_curves.corpus == first.corpus)
        & (all_curves.protocol == first.protocol)
        & (all_curves.group == first.group)
        & (all_curves.extend == "")
    ]
    for rows in (of_run, curve):
        nll = rows.loc[rows.context_length == first.trained_length, "nll"]
        if len(nll):
            return float(nll.iloc[0])
    return float("nan")


def summary(curve: pd.DataFrame, all_curves: pd.DataFrame) -> dict[str, Any]:
    """Crop baseline and usable length of one curve, and whether both lengths were measured."""
    curve = curve.sort_values("context_length")
    crop_nll = crop_baseline(curve, all_curves)
    lengths = curve.context_length.tolist()
    train_length = int(curve.trained_length.iloc[0])
    length = usable_length(lengths, curve.nll.to_numpy(float), train_length, crop_nll)
    measured = train_length in lengths and not np.isnan(crop_nll)
    return {"crop_nll": crop_nll, "usable_length": length, "measured": measured}


def usable(derived: dict[str, Any]) -> int | str:
    """The usable length of a `summary`, or why there is none."""
    return derived["usable_length"] or NOWHERE if derived["measured"] else NOT_MEASURED


def table(
    curves: pd.DataFrame, style: str = "simple", all_curves: pd.DataFrame | None = None
) -> str:
    """Table of perplexity by curve (rows) and context length (columns).

    Each cell has half the width of the confidence interval.

    Args:
        curves: Curves shown.
        style: Table format of tabulate.
        all_curves: Curves among which crop baselines are looked up; by default `curves`.

    Raises:
        PosextError: Curves have different targets.
    """
    refuse_mixed_targets(curves, all_curves)
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, curve in dedupe_floor(curves).groupby(CURVE_OF_RUN, sort=False, dropna=False):
        by_length = curve.set_index("context_length")
        cells = [
            perplexity_cell(by_length.loc[length]) if length in by_length.index else ""
            for length in lengths
        ]
        derived = summary(curve, curves if all_curves is None else all_curves)
        furthest = usable(derived) if curve.protocol.iloc[0] in COMPARABLE else ""
        rows.append([curve_label(curve.iloc[0]), int(curve.seed.iloc[0]), *cells, furthest])
    headers = ["scheme", "seed", *map(str, lengths), "usable to"]
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)


def table_over_seeds(curves: pd.DataFrame, style: str = "simple") -> str:
    """Table of perplexity over seeds, by scheme (rows) and context length (columns).

    Each cell has the perplexity of the mean NLL, and the standard deviation of the NLL in nats.

    Args:
        curves: Curves of all seeds.
        style: Table format of tabulate.

    Raises:
        PosextError: Curves have different targets, or a scheme has two runs of one seed.
    """
    refuse_mixed_targets(curves)
    several_models = curves.model.nunique() > 1
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, curve in dedupe_floor(curves).groupby(CURVE_OVER_SEEDS, sort=False, dropna=False):
        label = curve_label(curve.iloc[0])
        if curve.extend.iloc[0] != FLOOR:
            refuse_repeated_seeds(zip(curve.seed, curve.run, strict=True), label)
        label += f" · {curve.model.iloc[0]}" if several_models else ""
        by_length = curve.groupby("context_length").nll.agg(["mean", "std"])
        cells = [
            over_seeds_cell(by_length.loc[length]) if length in by_length.index else ""
            for length in lengths
        ]
        rows.append([label, curve.seed.nunique(), *cells])
    headers = ["scheme", "seeds", *map(str, lengths)]
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)


def over_seeds_cell(row: Any) -> str:
    """Perplexity of the mean NLL, with the standard deviation over seeds if there are several."""
    if np.isnan(row["mean"]):
        return "undefined"
    spread = "" if np.isnan(row["std"]) else f" ({row['std']:.3f})"
    return f"{np.exp(row['mean']):.2f}{spread}"


def perplexity_cell(row: Any) -> str:
    """Perplexity with half the width of its interval."""
    if np.isnan(row.nll):
        return "undefined"
    if np.isnan(row.nll_low):
        return f"{row.perplexity:.2f} ({NO_INTERVAL})"
    half = (np.exp(row.nll_high) - np.exp(row.nll_low)) / 2
    return f"{row.perplexity:.2f} ±{half:.2f}"
