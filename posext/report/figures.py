"""Charts of lines as plain data for plotly.js, with every view that a chart can be switched to.

A color "" stands for the text color of the page, so that a chart follows a light or a dark page.
"""

import html
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from posext.report.lines import Line

CROP_LABEL = "crop baseline"
MAX_BANDS = 8  # number of lines up to which bands are shaded; more bands would hide the lines
MAX_VISIBLE = 16  # number of lines up to which all are visible at first
LOWEST_VISIBLE = 8  # number of lines visible at first of a longer list; the legend shows the others


class ChartView(NamedTuple):
    """One quantity of a line.

    `values` gives the columns value, low, high and hover (text), by context length.
    """

    name: str
    axis: str
    values: Callable[[Line], pd.DataFrame]
    crop: Callable[[Line], float]
    log: bool = True  # logarithmic at first
    signed: bool = False  # has values below 0, so no logarithm


def chart(
    key: str,
    lines: Sequence[Line],
    views: Sequence[ChartView],
    faint_lines: Sequence[Line] = (),
    x_title: str = "",
    legend: bool = True,
) -> dict:
    """A chart with its views.

    Args:
        key: the id of the chart, unique on a page.
        lines: the lines to draw, at least one.
        views: the quantities to choose from; a crop baseline of nan is not drawn.
        faint_lines: lines for comparison, drawn faintly, without markers or legend.
        x_title: the title of the x axis; by default the context length.
        legend: whether to draw a legend.
    """
    columns = ("original_length", "trained_length")
    trained = sorted({int(n) for line in lines for name in columns for n in line.curves[name]})
    lengths = sorted({int(n) for line in lines for n in line.curves.context_length})
    return {
        "id": key,
        "title": "",
        "heat": False,
        "legend": legend,
        "x": {"title": x_title or "context length (tokens)", "ticks": lengths},
        "marks": [
            {"at": length, "text": f"trained at {length:,}"}
            for length in trained
            if lengths[0] <= length <= lengths[-1]
        ],
        "views": [
            {
                "name": view.name,
                "axis": view.axis,
                "log": view.log,
                "signed": view.signed,
                "traces": traces(lines, view, faint_lines),
            }
            for view in views
        ],
    }


def traces(lines: Sequence[Line], view: ChartView, faint_lines: Sequence[Line]) -> list[dict]:
    """The traces of a view, from back to front: faint lines, crop baselines, bands and lines."""
    line_and_band_traces = []
    shown_at_first = visible_lines(lines)
    for number, line in enumerate(lines):
        band, curve = band_and_curve(line, view.values(line), number)
        state = {} if line in shown_at_first else {"visible": "legendonly"}
        if len(lines) <= MAX_BANDS:
            line_and_band_traces.append({**band, **state})
        line_and_band_traces.append({**curve, **state})
    faint_traces = []
    if not view.signed:
        for number, line in enumerate(faint_lines):
            _, curve = band_and_curve(line, view.values(line), number)
            faint_traces.append(faint_trace(curve))
    return [*faint_traces, *crop_traces(shown_at_first, view), *line_and_band_traces]


def visible_lines(lines: Sequence[Line]) -> list[Line]:
    """Select the lines that are visible at first.

    Up to MAX_VISIBLE lines are all visible. Of more, the floors come first, then the lines with the
    lowest loss at the longest length that most lines have.
    """
    if len(lines) <= MAX_VISIBLE:
        return list(lines)
    lengths = pd.concat([line.curves.context_length.drop_duplicates() for line in lines])
    counts = lengths.value_counts()
    common_length = int(counts.index[counts == counts.max()].max())
    losses = [line.values.nll.get(common_length, math.nan) for line in lines]
    order = sorted(
        range(len(lines)),
        key=lambda i: (not lines[i].floor, math.isnan(losses[i]), losses[i]),
    )
    selected = set(order[:LOWEST_VISIBLE])
    return [line for i, line in enumerate(lines) if i in selected]


def band_and_curve(line: Line, values: pd.DataFrame, number: int) -> tuple[dict, dict]:
    """The traces of a line's confidence band and of its curve; undefined lengths are gaps.

    With a uid, plotly.js keeps a line that the legend hides hidden in every view. It makes a
    selector of the uid, so a name will not do.
    """
    name = html.escape(line.name, quote=False)  # plotly reads tags in names
    color = line.style.color
    common = {"type": "scatter", "name": name, "legendgroup": name}
    band_x, band_y = band_outline(values)
    band = {
        **common,
        "uid": f"band{number}",
        "x": band_x,
        "y": band_y,
        "fill": "toself",
        "fillcolor": band_color(color),
        "line": {"width": 0},
        "mode": "lines",
        "showlegend": False,
        "hoverinfo": "skip",
    }
    curve = {
        **common,
        "uid": f"line{number}",
        "x": [int(length) for length in values.index],
        "y": json_numbers(values.value),
        "text": values.hover.tolist(),
        "low": json_numbers(values.low),
        "high": json_numbers(values.high),
        "mode": "lines" if line.floor else "lines+markers",
        "connectgaps": False,
        "line": {"color": color, "width": 2, "dash": "dash" if line.style.dashed else "solid"},
        "marker": {"size": 7, "symbol": line.style.symbol, "color": color},
        "hovertemplate": "%{fullData.name}<br>%{x:,} tokens: %{text}<extra></extra>",
    }
    return band, curve


def band_outline(values: pd.DataFrame) -> tuple[list, list]:
    """The outline of a confidence band: a polygon for each stretch of lengths that have one."""
    low = values.low.astype(float)
    high = values.high.astype(float)
    has_band = np.isfinite(low) & np.isfinite(high)
    x: list[Any] = []
    y: list[Any] = []
    stretch_numbers = np.cumsum(~has_band.to_numpy())
    for _, stretch in values.loc[has_band].groupby(stretch_numbers[has_band]):
        lengths = [int(length) for length in stretch.index]
        x += [*lengths, *lengths[::-1], None]
        y += [*json_numbers(stretch.low), *json_numbers(stretch.high)[::-1], None]
    return x, y


def crop_traces(lines: Sequence[Line], view: ChartView) -> list[dict]:
    """A dotted line for each crop baseline, under one entry of the legend.

    A baseline that all lines share is gray.
    """
    line_of_baseline: dict[float, Line] = {}
    for line in lines:
        if not line.floor and math.isfinite(crop := view.crop(line)):
            line_of_baseline.setdefault(round(crop, 9), line)
    shared = len(line_of_baseline) <= 1
    return [
        crop_trace(crop, line, number, shared)
        for number, (crop, line) in enumerate(line_of_baseline.items())
    ]


def crop_trace(crop: float, line: Line, number: int, shared: bool) -> dict:
    owner = "" if shared else f" of {html.escape(line.name, quote=False)}"
    return {
        "type": "scatter",
        "uid": f"crop{number}",
        "name": CROP_LABEL,
        "legendgroup": CROP_LABEL,
        "showlegend": not number,
        "x": [int(line.curves.trained_length.iloc[0]), int(line.curves.context_length.max())],
        "y": [crop, crop],
        "mode": "lines",
        "line": {"color": "" if shared else line.style.color, "width": 1.3, "dash": "dot"},
        "hovertemplate": f"{CROP_LABEL}{owner}: %{{y:.4~g}}<extra></extra>",
    }


def faint_trace(trace: dict) -> dict:
    """A curve's trace as a thin line for comparison, without markers or legend."""
    return {
        **trace,
        "uid": f"faint-{trace['uid']}",
        "mode": "lines",
        "line": {**trace["line"], "width": 1},
        "opacity": 0.55,
        "showlegend": False,
        "hovertemplate": "fixed_target, " + trace["hovertemplate"],
    }


def json_numbers(values: pd.Series) -> list[float | None]:
    """Numbers for JSON, which has no nan: None instead."""
    return [float(value) if math.isfinite(value) else None for value in values.astype(float)]


def band_color(color: str) -> str:
    """The translucent color of a line's band; gray for a line in the text color."""
    red, green, blue = (128, 128, 128)
    if color:
        red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.13)"


def share_y_range(charts: Sequence[dict]) -> None:
    """Give charts that stand side by side the same range of y in each view."""
    for views in zip(*(chart["views"] for chart in charts), strict=True):
        values = [
            y for view in views for trace in view["traces"] for y in trace["y"] if y is not None
        ]
        for view in views:
            view["range"] = [min(values), max(values)] if values else None
