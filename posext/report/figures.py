"""Charts of lines as plain data: what plotly.js is given, in every view that a chart can be switched to.

A colour "" stands for that of the page's text, so that a chart follows a light or a dark page.
"""

import html
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from posext.report.lines import Line

CROP = "crop baseline"
BANDS = 8  # lines up to which intervals are shaded; with more the shades would hide the lines
MANY = 16  # lines up to which all are drawn at once
SHOWN = 8  # of many: those that end lowest; the legend shows the others


class ChartView(NamedTuple):
    """One quantity of a line: `values` has an index of lengths and the columns value, low, high and said."""

    name: str
    axis: str
    values: Callable[[Line], pd.DataFrame]
    crop: Callable[[Line], float]
    log: bool = True  # drawn on a logarithmic scale at first
    signed: bool = False  # has values below 0, so no logarithm


def chart(
    key: str,
    lines: Sequence[Line],
    views: Sequence[ChartView],
    beside: Sequence[Line] = (),
    x: str = "",
    legend: bool = True,
) -> dict:
    """A chart with its views; `beside` are lines drawn faintly, without markers or legend. A crop of nan is not drawn."""
    trained = sorted({int(n) for line in lines for n in line.curves.original_length})
    lengths = sorted({int(n) for line in lines for n in line.curves.context_length})
    return {
        "id": key, "title": "", "heat": False, "legend": legend,
        "x": {"title": x or "context length (tokens)", "ticks": lengths},
        "marks": [{"at": n, "text": f"trained at {n:,}"} for n in trained if lengths[0] <= n <= lengths[-1]],
        "views": [
            {"name": v.name, "axis": v.axis, "log": v.log, "signed": v.signed, "traces": traces(lines, v, beside)}
            for v in views
        ],
    }  # fmt: skip


def traces(lines: Sequence[Line], view: ChartView, beside: Sequence[Line]) -> list[dict]:
    drawn = []
    hidden = {"visible": "legendonly"}
    shown = visible(lines)
    for i, line in enumerate(lines):
        shade, curve = of_line(line, view.values(line), i)
        state = {} if line in shown else hidden
        drawn += [{**shade, **state}] * (len(lines) <= BANDS) + [{**curve, **state}]
    faint = [
        faintly(of_line(line, view.values(line), i)[1])
        for i, line in enumerate(beside)
        if not view.signed
    ]
    return [*faint, *crops(shown, view), *drawn]


def visible(lines: Sequence[Line]) -> list[Line]:
    """The lines drawn at first: all, or of many the floors and the lowest at the longest length that most of them have."""
    if len(lines) <= MANY:
        return list(lines)
    lengths = pd.concat(
        [line.curves.context_length.drop_duplicates() for line in lines]
    ).value_counts()
    at = int(lengths.index[lengths == lengths.max()].max())
    ends = [line.values().nll.get(at, math.nan) for line in lines]
    order = sorted(
        range(len(lines)), key=lambda i: (not lines[i].floor, math.isnan(ends[i]), ends[i])
    )
    kept = set(order[:SHOWN])
    return [line for i, line in enumerate(lines) if i in kept]


def of_line(line: Line, values: pd.DataFrame, number: int) -> list[dict]:
    """The band and the curve. Undefined lengths are null, which is a gap.

    A uid keeps what the legend hides hidden in every view; plotly.js makes a selector of it, so no name will do.
    """
    name = html.escape(line.name, quote=False)  # plotly reads tags in names
    same = {"type": "scatter", "name": name, "legendgroup": name}
    band_x, band_y = band(values)
    shade = {
        "fill": "toself",
        "fillcolor": shaded(line.style.colour),
        "line": {"width": 0},
        "mode": "lines",
    }
    dash = "dash" if line.style.dashed else "solid"
    curve = {
        "x": [int(n) for n in values.index], "y": numbers(values.value), "text": values.said.tolist(),
        "low": numbers(values.low), "high": numbers(values.high),
        "mode": "lines" if line.floor else "lines+markers", "connectgaps": False,
        "line": {"color": line.style.colour, "width": 2, "dash": dash},
        "marker": {"size": 7, "symbol": line.style.symbol, "color": line.style.colour},
        "hovertemplate": "%{fullData.name}<br>%{x:,} tokens: %{text}<extra></extra>",
    }  # fmt: skip
    return [
        {
            **same,
            "uid": f"band{number}",
            "x": band_x,
            "y": band_y,
            **shade,
            "showlegend": False,
            "hoverinfo": "skip",
        },
        {**same, "uid": f"line{number}", **curve},
    ]


def band(values: pd.DataFrame) -> tuple[list, list]:
    """The outline of an interval, a polygon for each stretch of lengths at which there is one."""
    known = np.isfinite(values.low.to_numpy(float)) & np.isfinite(values.high.to_numpy(float))
    x, y = [], []
    for _, part in values.groupby(np.cumsum(~known)):
        part = part.loc[np.isfinite(part.low.astype(float)) & np.isfinite(part.high.astype(float))]
        if len(part):
            lengths = [int(n) for n in part.index]
            x += [*lengths, *lengths[::-1], None]
            y += [*numbers(part.low), *numbers(part.high)[::-1], None]
    return x, y


def crops(lines: Sequence[Line], view: ChartView) -> list[dict]:
    """A dotted line for each crop baseline, under one entry of the legend; grey where all lines share it."""
    known: dict[float, Line] = {}
    for line in lines:
        if not line.floor and math.isfinite(crop := view.crop(line)):
            known.setdefault(round(crop, 9), line)
    drawn = []
    for number, (crop, line) in enumerate(known.items()):
        reach = [int(line.curves.trained_length.iloc[0]), int(line.curves.context_length.max())]
        whose = f" of {html.escape(line.name, quote=False)}" if len(known) > 1 else ""
        drawn.append(
            {"type": "scatter", "uid": f"crop{number}", "name": CROP, "legendgroup": CROP, "showlegend": not number,
             "x": reach, "y": [crop, crop], "mode": "lines",
             "line": {"color": line.style.colour if whose else "", "width": 1.3, "dash": "dot"},
             "hovertemplate": f"{CROP}{whose}: %{{y:.4~g}}<extra></extra>"}
        )  # fmt: skip
    return drawn


def faintly(trace: dict) -> dict:
    line = {**trace["line"], "width": 1}
    return {**trace, "uid": f"faint-{trace['uid']}", "mode": "lines", "line": line, "opacity": 0.55, "showlegend": False,
            "hovertemplate": "fixed_target, " + trace["hovertemplate"]}  # fmt: skip


def numbers(values: pd.Series) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values.astype(float)]


def shaded(colour: str) -> str:
    red, green, blue = (
        (int(colour[i : i + 2], 16) for i in (1, 3, 5)) if colour else (128, 128, 128)
    )
    return f"rgba({red},{green},{blue},0.13)"


def share_scale(charts: Sequence[dict]) -> None:
    """Let charts that stand side by side have the same reach of y in each view."""
    for views in zip(*(chart["views"] for chart in charts), strict=True):
        found = [
            y for view in views for trace in view["traces"] for y in trace["y"] if y is not None
        ]
        for view in views:
            view["reach"] = [min(found), max(found)] if found else None
