"""The page's section about attention: lines by context length, heat maps by layer and head."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from posext.analysis.attention import SINK_RATE, over_heads
from posext.analysis.curves import EXTENSION, factor_suffix
from posext.report import figures, views
from posext.report.attention_metrics import Metric, measured_metrics
from posext.report.figures import ChartView
from posext.report.gather import Source
from posext.report.lines import Line, Styles, mean_and_band


def attention_terms(sources: Sequence[Source]) -> list[tuple[str, str]]:
    """The explanation of each metric that was measured."""
    measured = measured_metrics(attention_rows(sources))
    titles = {"query_norm": "Query pairs, key pairs"}
    return [
        (titles.get(metric.name, metric.title), metric.about) for metric in measured if metric.about
    ]


def attention_rows(sources: Sequence[Source]) -> pd.DataFrame:
    """The rows of attention.csv of all sources, of the runs whose curves are shown."""
    tables = [
        source.attention.loc[source.attention.run.isin(source.rows.run)] for source in sources
    ]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def attention_charts(
    sources: Sequence[Source], rows: pd.DataFrame, styles: Styles
) -> list[dict[str, Any]]:
    """A chart of lines over context lengths, and heat maps for each curve.

    Args:
        sources: Runs, or files of curves.
        rows: All rows of curves.csv.
        styles: The styles of the page's lines.
    """
    looks = attention_rows(sources)
    if not len(looks):
        return []
    metrics = measured_metrics(looks)
    curves = rows.loc[is_among(rows, looks) & rows.context_length.isin(looks.context_length)]
    charts = []
    if len(curves):
        values = over_heads(looks)
        shown = [line_view(metric, values) for metric in metrics if metric.place != "pair"]
        charts.append(figures.chart("attention", styles.lines(curves), shown))
    by_curve = cast(Any, looks.groupby(["run", *EXTENSION], sort=False))
    for number, (key, table) in enumerate(by_curve):
        charts.append(heat_map(f"attention-heat-{number}", key, table, metrics))
    return charts


def is_among(rows: pd.DataFrame, looks: pd.DataFrame) -> np.ndarray:
    """Whether the curve of a row is one of those whose attention was measured."""
    keys = (pd.MultiIndex.from_frame(table.loc[:, views.CURVE_KEY]) for table in (rows, looks))
    own, measured = keys
    return own.isin(measured)


def line_view(metric: Metric, values: pd.DataFrame) -> ChartView:
    """The view of a metric over all heads, by context length."""
    of_metric = values.loc[values.metric == metric.name]
    return ChartView(
        name=metric.title,
        axis=metric.axis,
        values=lambda line: line_values(line, of_metric),
        crop=lambda _: math.nan,
        log=metric.log,
        signed=not metric.log,
    )


def line_values(line: Line, values: pd.DataFrame) -> pd.DataFrame:
    """The numbers of a line: one run's, or mean and range over seeds.

    Returns:
        The columns value, low, high and hover.
    """
    own = values.loc[is_among(values, line.curves)].groupby("context_length")
    frame = mean_and_band(own, "value", ("value", "value"), line.seeds == 1)
    frame = frame.rename(columns={"mean": "value"}).astype(float)
    if line.seeds == 1:
        frame = frame.assign(low=math.nan, high=math.nan)
    return frame.assign(hover=[hover_text(*row) for row in frame.itertuples(index=False)])


def heat_map(
    key: str, curve: tuple[str, str, str], table: pd.DataFrame, metrics: Sequence[Metric]
) -> dict:
    """The heat maps of one curve, a view for each metric."""
    run, extend, factor = curve
    extension = f" → {extend}" if extend else ""
    of_layers = [metric for metric in metrics if metric.name != SINK_RATE]
    return {
        "id": key,
        "title": f"{run}{extension}{factor_suffix(factor)}",
        "heat": True,
        "legend": False,
        "x": {"title": "context length (tokens), and the heads or rotary pairs of a layer"},
        "marks": [],
        "views": [
            heat_view(table.loc[table.metric == metric.name], metric)
            for metric in of_layers
            if (table.metric == metric.name).any()
        ],
    }


def heat_view(table: pd.DataFrame, metric: Metric) -> dict:
    """A metric as a grid: layers grow downwards, and columns stand by context length."""
    columns = ["context_length", metric.place] if metric.place else ["context_length"]
    grids = table.pivot(index="layer", columns=columns, values=["value", "low", "high"])
    values, lows, highs = (grids[name] for name in ("value", "low", "high"))
    cells = np.stack([table.to_numpy(float) for table in (values, lows, highs)], axis=-1)
    lengths = [f"{int(length):,}" for length in values.columns.get_level_values("context_length")]
    places = [f"{place:g}" for place in values.columns.get_level_values(-1)]
    low, high = color_limits(metric, values.to_numpy(float))
    trace = {
        "type": "heatmap",
        "uid": "heat",
        "zmin": low,
        "zmax": high,
        "colorscale": "Cividis",
        "xgap": 1,
        "ygap": 1,
        "x": [lengths, places] if metric.place else lengths,
        "y": [f"{layer:g}" for layer in values.index],
        "z": [[color(metric, cell) for cell in row] for row in values.to_numpy(float)],
        "text": [[hover_text(*cell) for cell in row] for row in cells],
        "hoverongaps": False,
        "hovertemplate": "%{x}, layer %{y}: %{text}<extra></extra>",
        "colorbar": {"thickness": 12, "outlinewidth": 0, **color_ticks(metric, low, high)},
    }
    return {"name": metric.title, "axis": f"layer: {metric.axis}", "traces": [trace]}


def color(metric: Metric, value: float) -> float | None:
    """A value on the scale of the colors; None for a gap."""
    if not math.isfinite(value):
        return None
    return math.log2(max(value, 1.0)) if metric.log else value


def color_limits(metric: Metric, values: np.ndarray) -> tuple[float, float]:
    """The values of the first and the last color."""
    low, high = metric.limits
    low = float(np.nanmin(values)) if low is None else low
    high = float(np.nanmax(values)) if high is None else high
    return (0.0, math.log2(max(2.0, high))) if metric.log else (low, high)


def color_ticks(metric: Metric, low: float, high: float) -> dict[str, Any]:
    """The labels of logarithmic colors."""
    if not metric.log:
        return {}
    powers = list(range(math.ceil(low), math.floor(high) + 1, 2))
    return {"tickvals": powers, "ticktext": [f"{2**power:,}" for power in powers]}


def hover_text(value: float, low: float, high: float) -> str:
    """A value with its interval over documents, or its range over seeds."""
    interval = "" if math.isnan(low) else f" [{low:.3g}, {high:.3g}]"
    return f"<b>{value:.3g}</b>{interval}"
