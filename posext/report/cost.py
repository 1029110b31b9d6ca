"""What a context costs: time, speed and memory by its length, and the power of the length by which they grow."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from posext.report.figures import ChartView, chart
from posext.report.lines import Line

MEGABYTE = 1e6
QUANTITIES = {
    "Wall time": ("seconds", "seconds", 1.0),
    "Tokens per second": ("tokens_per_second", "tokens per second", 1.0),
    "Peak memory": ("peak_memory_bytes", "peak memory (MB)", MEGABYTE),
}
OFF = 1.5  # times the fit: where a value lies further from it, there is no power to tell


class Growth(NamedTuple):
    exponent: float
    off: float  # the largest ratio between a value and the fit, at least 1


def growth(lengths: Sequence[float], values: Sequence[float]) -> Growth:
    """The power of the length by which values grow: least squares of logarithms over the longer half of the lengths.

    Lengths without a value above 0 are left out first. nan where fewer than two are left in that half.
    """
    found = sorted(
        (n, v) for n, v in zip(lengths, values, strict=True) if math.isfinite(v) and v > 0
    )
    longer = np.log(np.array(found[len(found) // 2 :], dtype=float).reshape(-1, 2))
    if len(longer) < 2:
        return Growth(math.nan, math.nan)
    x, y = longer.T - longer.T.mean(1, keepdims=True)
    exponent = float(x @ y / (x @ x))
    return Growth(exponent, float(np.exp(np.abs(y - exponent * x).max())))


def figure(lines: Sequence[Line]) -> dict:
    """The chart of costs; nothing is drawn of a floor, which costs what arithmetic does."""
    return chart("cost", lines, [view(name) for name in QUANTITIES], legend=False)


def view(name: str) -> ChartView:
    column, axis, unit = QUANTITIES[name]

    def values(line: Line) -> pd.DataFrame:
        value = line.values()[column].astype(float) / unit
        said = [f"<b>{v:,.4g}</b> {axis}" for v in value]
        return pd.DataFrame({"value": value, "low": np.nan, "high": np.nan, "said": said})

    return ChartView(name, axis, values, lambda _: math.nan)


def table(lines: Sequence[Line]) -> list[dict[str, str]]:
    """Of each line: the exponents of time and memory, and the speed at the longest length."""
    rows = []
    for line in lines:
        values = line.values().astype(float)
        time, memory = (
            growth(values.index.tolist(), values[c].tolist())
            for c in ("seconds", "peak_memory_bytes")
        )
        speed = values.tokens_per_second.dropna()
        rows.append(
            {"name": line.name, "colour": line.style.colour, "time": worded(time), "memory": worded(memory),
             "speed": f"{speed.iloc[-1]:,.0f}" if len(speed) else ""}
        )  # fmt: skip
    return rows


def worded(found: Growth) -> str:
    return f"{found.exponent:.2f}" if found.off <= OFF and found.exponent >= 0 else "none fits"
