"""Evaluation cost by context length: time, speed and memory, and their growth exponents."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from posext.report.figures import ChartView, chart
from posext.report.lines import Line

MEGABYTE = 1e6
QUANTITIES = {  # view: column, axis title and unit
    "Wall time": ("seconds", "seconds", 1.0),
    "Tokens per second": ("tokens_per_second", "tokens per second", 1.0),
    "Peak memory": ("peak_memory_bytes", "peak memory (MB)", MEGABYTE),
}
MAX_MISFIT = 1.5  # largest ratio of a value to the fit at which an exponent is reported


class Growth(NamedTuple):
    exponent: float
    misfit: float  # the largest ratio between a value and the fit, at least 1


def growth(lengths: Sequence[float], values: Sequence[float]) -> Growth:
    """Fit the power of the length by which values grow: least squares of logarithms.

    Lengths without a value above 0 are dropped; the fit is over the longer half of the others.
    Returns nan if that half has fewer than two lengths.
    """
    points = sorted(
        (length, value)
        for length, value in zip(lengths, values, strict=True)
        if math.isfinite(value) and value > 0
    )
    longer_half = np.log(np.array(points[len(points) // 2 :], dtype=float).reshape(-1, 2))
    if len(longer_half) < 2:
        return Growth(math.nan, math.nan)
    x, y = longer_half.T - longer_half.T.mean(1, keepdims=True)
    exponent = float(x @ y / (x @ x))
    misfit = float(np.exp(np.abs(y - exponent * x).max()))
    return Growth(exponent, misfit)


def cost_chart(lines: Sequence[Line]) -> dict:
    """The chart of costs. Leave the floor out of `lines`: it is computed, not measured."""
    return chart("cost", lines, [cost_view(name) for name in QUANTITIES], legend=False)


def cost_view(name: str) -> ChartView:
    """The view of one quantity."""
    column, axis, unit = QUANTITIES[name]

    def values(line: Line) -> pd.DataFrame:
        value = line.values[column].astype(float) / unit
        hover = [f"<b>{number:,.4g}</b> {axis}" for number in value]
        return pd.DataFrame({"value": value, "low": np.nan, "high": np.nan, "hover": hover})

    return ChartView(name, axis, values, lambda _: math.nan)


def cost_table(lines: Sequence[Line]) -> list[dict[str, str]]:
    """A row a line: the exponents of time and memory, and the speed at the longest length."""
    return [cost_row(line) for line in lines]


def cost_row(line: Line) -> dict[str, str]:
    values = line.values.astype(float)
    lengths = values.index.tolist()
    speed = values.tokens_per_second.dropna()
    return {
        "name": line.name,
        "color": line.style.color,
        "time": exponent_text(growth(lengths, values.seconds.tolist())),
        "memory": exponent_text(growth(lengths, values.peak_memory_bytes.tolist())),
        "speed": f"{speed.iloc[-1]:,.0f}" if len(speed) else "",
    }


def exponent_text(fit: Growth) -> str:
    if fit.misfit <= MAX_MISFIT and fit.exponent >= 0:
        return f"{fit.exponent:.2f}"
    return "none fits"
