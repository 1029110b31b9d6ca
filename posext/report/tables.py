"""The table of a page: perplexity with its interval and verdict by length, and the numbers derived of each curve."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from posext.analysis.curves import ONE_CURVE, summary
from posext.analysis.statistics import NO_INTERVAL, Estimate
from posext.eval.bayes_floor import FLOOR
from posext.report.gather import Paired
from posext.report.lines import Styles

BLANK = {"value": "", "between": "", "verdict": "", "difference": ""}


def rows(
    headline: pd.DataFrame, differences: Sequence[Paired], styles: Styles
) -> list[dict[str, Any]]:
    """A row a curve and seed: name, colour, seed, a cell a length, usable length, how sure that is, and the gain."""
    lengths = sorted(headline.context_length.unique())
    paired = {(d.row.run, d.row.extend, d.row.factor): d for d in differences}
    made = []
    for _, curve in headline.loc[headline.extend != FLOOR].groupby(
        ONE_CURVE, sort=False, dropna=False
    ):
        first, line = curve.iloc[0], styles.line(curve)
        found = paired.get((first.run, first.extend, first.factor))
        at, table = (
            curve.set_index("context_length"),
            found.table.set_index("context") if found else None,
        )
        cells = [cell(at.loc[n], table.loc[n] if table is not None and n in table.index else None)
                 if n in at.index else BLANK for n in lengths]  # fmt: skip
        derived: dict[str, Any] = (
            found.derived
            if found
            else {"usable": summary(curve, headline)["usable_length"] or "nowhere"}
        )
        made.append(
            {"name": line.name, "colour": line.style.colour, "dashed": line.style.dashed, "seed": int(first.seed),
             "cells": cells, "usable": worded(derived["usable"]), "share": share(derived.get("share")),
             "gain": estimate(derived.get("gain"))}
        )  # fmt: skip
    return made


def cell(row: Any, difference: Any) -> dict[str, str]:
    if math.isnan(row.nll):
        return {**BLANK, "value": "undefined"}
    alone = math.isnan(row.nll_low)
    between = (
        NO_INTERVAL if alone else f"{math.exp(row.nll_low):.1f} to {math.exp(row.nll_high):.1f}"
    )
    shown = {**BLANK, "value": f"{row.perplexity:.2f}", "between": between}
    if difference is None:
        return shown
    baseline = row.extend == "" and row.name == row.trained_length
    ends = (
        f", {NO_INTERVAL}"
        if math.isnan(difference.low)
        else f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    )
    said = f"{difference.difference:+.3f} nats{ends} to the crop baseline"
    return {**shown, "verdict": "baseline" if baseline else difference.verdict, "difference": said}


def worded(usable: int | str) -> str:
    return usable if isinstance(usable, str) else f"{usable:,}"


def share(found: float | None) -> str:
    return "" if found is None else f"{found:.0%}"


def estimate(found: Estimate | None) -> dict[str, str]:
    if found is None:
        return BLANK
    between = NO_INTERVAL if math.isnan(found.low) else f"{found.low:+.3f} to {found.high:+.3f}"
    return {"value": f"{found.value:+.3f}", "between": between}
