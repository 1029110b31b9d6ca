"""The page's section about far text: what the loss loses without it, and effective contexts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from posext.analysis.effective_context import RiseCurve, effective_text, read_rises
from posext.config import PERTURBED
from posext.eval.perturbation import CHANGES
from posext.report import figures, views, words
from posext.report.figures import ChartView
from posext.report.gather import Source
from posext.report.lines import Line, Styles, mean_and_band

X_TITLE = "intact text before the first target, k (tokens)"


class MeasuredRise(NamedTuple):
    """A rise with the run that it was measured on."""

    source: Source
    curve: RiseCurve


def measured_rises(sources: Sequence[Source]) -> list[MeasuredRise]:
    """Read the rises of all run folders; a curves file alone has none."""
    return [
        MeasuredRise(source, curve)
        for source in sources
        if (source.path / "documents.parquet").is_file()
        for curve in read_rises(source.path, source.rows)
    ]


def rise_charts(
    rows: pd.DataFrame, measured: Sequence[MeasuredRise], styles: Styles
) -> list[dict[str, Any]]:
    """A chart for each change of the far text: the rise, and the perplexity, by distance.

    Args:
        rows: Rows of curves.csv.
        measured: The rises of these curves; without any the charts have perplexities alone.
        styles: The styles of the page's lines.
    """
    rows = rows.loc[rows.protocol == PERTURBED]
    charts = []
    for change in CHANGES:
        curves = rows.loc[rows.group == change]
        if not len(curves):
            continue
        of_change = [rise.curve for rise in measured if rise.curve.change == change]
        shown = views.curve_views(curves, [], PERTURBED)
        if of_change:
            shown = [rise_view(of_change), *shown]
        lines = styles.lines(curves)
        key = f"{words.on_corpus(rows, PERTURBED)}-{change}"
        chart = figures.chart(key, lines, shown, x_title=X_TITLE)
        charts.append({**chart, "title": change})
    if len(charts) > 1:
        figures.share_y_range(charts)
    return charts


def rise_view(rises: Sequence[RiseCurve]) -> ChartView:
    """The view of the rises of one change."""
    table = pd.concat(
        [
            rise.table().assign(**{name: rise.row[name] for name in views.CURVE_KEY})
            for rise in rises
        ],
        ignore_index=True,
    )
    return ChartView(
        name="Rise of the loss",
        axis="nats a token above the intact text",
        values=lambda line: rise_values(line, table),
        crop=lambda _: float("nan"),
        log=False,
        signed=True,
    )


def rise_values(line: Line, table: pd.DataFrame) -> pd.DataFrame:
    """The rises of a line by distance: paired intervals of one seed, else mean and range.

    Returns:
        The columns value, low, high and hover.
    """
    keys = pd.MultiIndex.from_frame(line.curves.loc[:, views.CURVE_KEY])
    is_own = pd.MultiIndex.from_frame(table.loc[:, views.CURVE_KEY]).isin(keys)
    by_distance = table.loc[is_own].groupby("kept")
    values = mean_and_band(by_distance, "rise", ("low", "high"), line.seeds == 1)
    frame = values.rename(columns={"mean": "value"}).astype(float)
    hover = [
        f"<b>{value:+.3f}</b> {views.interval_text(low, high, '+.3f', line)}"
        for value, low, high in frame.itertuples(index=False)
    ]
    return frame.assign(hover=hover)


def effective_table(measured: Sequence[MeasuredRise], styles: Styles) -> list[dict[str, str]]:
    """The effective context length of each curve under each change."""
    rows = []
    for source, curve in measured:
        line = styles.line(pd.DataFrame([curve.row]))
        estimate = curve.effective(source.effective_rise, source.bootstrap)
        rows.append(
            {
                "name": line.name,
                "color": line.style.color or "currentColor",
                "dashed": line.style.dashed,
                "seed": f"{curve.row.seed:.0f}",
                "change": curve.change,
                "effective": effective_text(curve, estimate),
                "limit": f"{curve.limit(source.effective_rise):.3f}",
            }
        )
    return rows
