"""The page's section about algorithmic tasks: accuracy over the length of examples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from posext.analysis.accuracy import COLUMNS, FILE, METRICS, OVER_SEEDS, read_accuracy
from posext.analysis.accuracy_summary import line_label
from posext.report import figures
from posext.report.accuracy_plot import AXIS_TITLES, line_values
from posext.report.lines import COLORS, SYMBOLS, Line, Style

TEXT = (
    "Answers to examples longer than those trained on. An answer is an exact match if all of it is "
    "the most likely, token by token, which is when greedy generation gives it too. The normalized "
    "accuracy is that of its symbols, on a scale on which a guess that does not read the question "
    "has 0 and no error 1. Intervals are Wilson's, over examples."
)


def read_accuracies(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the accuracies of run folders and collected folders; empty if none has any."""
    files = [path / FILE for path in paths if path.is_dir()]
    tables = [table for file in files if len(table := read_accuracy(file))]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def section(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the section: a chart for each task."""
    keys = rows.loc[:, OVER_SEEDS].drop_duplicates().itertuples(index=False, name=None)
    styles = {
        key: Style(COLORS[number % len(COLORS)], SYMBOLS[number % len(SYMBOLS)])
        for number, key in enumerate(keys)
    }
    charts = [
        chart(f"accuracy-{number}", str(task), of_task, styles)
        for number, (task, of_task) in enumerate(rows.groupby("task", sort=False))
    ]
    return {
        "kind": "accuracy",
        "title": "Algorithmic tasks",
        "about": TEXT,
        "charts": charts,
        "table": [],
        "headers": [],
        "terms": [],
    }


def chart(key: str, task: str, rows: pd.DataFrame, styles: dict[Any, Style]) -> dict[str, Any]:
    """Return the chart of a task, with a view for each metric."""
    groups: Any = rows.groupby(OVER_SEEDS, sort=False)
    lines = [Line(line_label(*name), styles[name], line, floor=False) for name, line in groups]
    return {
        "id": key,
        "title": task,
        "heat": False,
        "legend": True,
        "x": {
            "title": "length of examples",
            "ticks": sorted(int(length) for length in rows.length.unique()),
        },
        "marks": [
            {"at": int(length), "text": f"trained to {int(length):,}"}
            for length in sorted(rows.trained_length.unique())
        ],
        "views": [
            {
                "name": metric.capitalize(),
                "axis": AXIS_TITLES[metric],
                "log": False,
                "signed": True,
                "range": [min(0.0, *rows[column].fillna(0)), 1.0],
                "traces": traces(lines, metric),
            }
            for metric, column in METRICS.items()
        ],
    }


def traces(lines: Sequence[Line], metric: str) -> list[dict[str, Any]]:
    """Return the bands and lines of a metric."""
    made = []
    for number, line in enumerate(lines):
        values = line_values(line.curves, metric).rename(columns={"mean": "value"})
        of = "interval" if line.seeds == 1 else f"range of {line.seeds} seeds"
        hover = [f"<b>{v:.3f}</b> {of} {low:.3f} to {high:.3f}" for v, low, high in values.values]
        band, curve = figures.band_and_curve(line, values.assign(hover=hover), number)
        curve["hovertemplate"] = "%{fullData.name}<br>length %{x:,}: %{text}<extra></extra>"
        made += [band, curve]
    return made
