"""Heat maps of retrieval: the share of right answers by context length and depth."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from posext.analysis.curves import RETRIEVAL_CURVE, factor_suffix
from posext.report.gather import Source

CONDITION_TITLES = {"needle": "Needle", "control": "Control"}  # and the name of the view


def heat_maps(sources: Sequence[Source]) -> list[dict]:
    """A heat map for each task, extension and factor of each run whose curves are shown."""
    tables = [
        table
        for source in sources
        for _, table in shown_answers(source).groupby(["run", *RETRIEVAL_CURVE], sort=False)
    ]
    return [heat_map(f"retrieval-{number}", table) for number, table in enumerate(tables)]


def shown_answers(source: Source) -> pd.DataFrame:
    """The answers of the runs of a source whose curves are shown."""
    return source.retrieval.loc[source.retrieval.run.isin(source.rows.run)]


def heat_map(key: str, table: pd.DataFrame) -> dict:
    """A heat map with a view for each condition that was measured."""
    first = table.iloc[0]
    views = [
        condition_view(table.loc[table.condition == condition], name)
        for condition, name in CONDITION_TITLES.items()
    ]
    extension = f" → {first.extend}" if first.extend else ""
    return {
        "id": key,
        "title": f"{first.task}: {first.run}{extension}{factor_suffix(first.factor)}",
        "heat": True,
        "legend": False,
        "x": {"title": "context length (tokens)"},
        "marks": [],
        "views": [view for view in views if view["traces"][0]["z"]],
    }


def condition_view(table: pd.DataFrame, name: str) -> dict:
    """Accuracy as a grid, null where it was not measured.

    Depths grow downwards, from the context's start to its end.
    """
    lengths = sorted(table.context_length.unique())
    depths = sorted(table.depth.unique())
    rows: Any = table.itertuples()
    cells: dict[Any, Any] = {(row.depth, row.context_length): row for row in rows}
    grid = [[cells.get((depth, length)) for length in lengths] for depth in depths]
    trace = {
        "type": "heatmap",
        "uid": "heat",
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Cividis",
        "xgap": 1,
        "ygap": 1,
        "x": [f"{int(length):,}" for length in lengths],
        "y": [f"{depth:.4g}" for depth in depths],
        "z": [[accuracy(cell) for cell in row] for row in grid],
        "text": [[hover_text(cell) for cell in row] for row in grid],
        "texttemplate": "%{z:.0%}",
        "hoverongaps": False,
        "hovertemplate": "%{x} tokens, depth %{y}: %{text}<extra></extra>",
        "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
    }
    return {"name": name, "axis": "depth in the context", "traces": [trace]}


def accuracy(cell: Any) -> float | None:
    """The accuracy of a cell; None if it was not measured."""
    return None if cell is None or pd.isna(cell.accuracy) else float(cell.accuracy)


def hover_text(cell: Any) -> str:
    """The accuracy of a cell with its interval and counts."""
    if accuracy(cell) is None:
        return ""
    interval = f"[{cell.accuracy_low:.0%}, {cell.accuracy_high:.0%}]"
    return f"<b>{cell.accuracy:.0%}</b> {interval}, {cell.correct:.0f} of {cell.trials:.0f}"
