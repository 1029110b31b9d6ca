"""The table of a page: perplexity by length with interval and verdict, and derived numbers."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from posext.analysis.curve_table import summary, usable
from posext.analysis.curves import CURVE_OF_RUN
from posext.analysis.statistics import NO_INTERVAL, Estimate
from posext.eval.bayes_floor import FLOOR
from posext.report.gather import PairedCurve
from posext.report.lines import Styles

EMPTY_CELL = {"value": "", "between": "", "verdict": "", "difference": ""}


def perplexity_table(
    headline: pd.DataFrame, differences: Sequence[PairedCurve], styles: Styles
) -> list[dict[str, Any]]:
    """A row a curve and seed.

    A row has a name, color, seed, a cell a length, the usable length, the share of resamples with
    that usable length, the effective context size, and the gain over the crop baseline.
    """
    lengths = sorted(headline.context_length.unique())
    paired = {(d.row.run, d.row.extend, d.row.factor): d for d in differences}
    without_floor = headline.loc[headline.extend != FLOOR]
    rows = []
    for _, curve in without_floor.groupby(CURVE_OF_RUN, sort=False, dropna=False):
        first = curve.iloc[0]
        line = styles.line(curve)
        pair = paired.get((first.run, first.extend, first.factor))
        if pair is None:
            derived: dict[str, Any] = {"usable": usable(summary(curve, headline))}
        else:
            derived = pair.derived
        rows.append(
            {
                "name": line.name,
                "color": line.style.color,
                "dashed": line.style.dashed,
                "seed": int(first.seed),
                "cells": perplexity_cells(curve, pair, lengths),
                "usable": usable_text(derived["usable"]),
                "share": share_text(derived.get("share")),
                "effective": derived.get("effective", ""),
                "gain": estimate_cell(derived.get("gain")),
            }
        )
    return rows


def perplexity_cells(
    curve: pd.DataFrame, pair: PairedCurve | None, lengths: Sequence[int]
) -> list[dict[str, str]]:
    """A cell for each length; empty if the curve was not measured there."""
    by_length = curve.set_index("context_length")
    differences = pair.table.set_index("context") if pair else pd.DataFrame()
    cells = []
    for length in lengths:
        if length not in by_length.index:
            cells.append(EMPTY_CELL)
            continue
        difference = differences.loc[length] if length in differences.index else None
        cells.append(page_cell(by_length.loc[length], difference))
    return cells


def page_cell(row: Any, difference: Any) -> dict[str, str]:
    """The perplexity of a row of a curve, and its verdict if there is a paired difference."""
    if math.isnan(row.nll):
        return {**EMPTY_CELL, "value": "undefined"}
    between = ends_text(math.exp(row.nll_low), math.exp(row.nll_high), ".1f")
    cell = {**EMPTY_CELL, "value": f"{row.perplexity:.2f}", "between": between}
    if difference is None:
        return cell
    is_baseline = row.extend == "" and row.name == row.trained_length
    interval = f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    if math.isnan(difference.low):
        interval = f", {NO_INTERVAL}"
    hover = f"{difference.difference:+.3f} nats{interval} to the crop baseline"
    verdict = "baseline" if is_baseline else difference.verdict
    return {**cell, "verdict": verdict, "difference": hover}


def usable_text(usable: int | str) -> str:
    return usable if isinstance(usable, str) else f"{usable:,}"


def share_text(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def estimate_cell(estimate: Estimate | None) -> dict[str, str]:
    if estimate is None:
        return EMPTY_CELL
    between = ends_text(estimate.low, estimate.high, "+.3f")
    return {"value": f"{estimate.value:+.3f}", "between": between}


def ends_text(low: float, high: float, number_format: str) -> str:
    """The ends of an interval; words if there is none."""
    if math.isnan(low):
        return NO_INTERVAL
    return f"{low:{number_format}} to {high:{number_format}}"
