"""Heat maps of retrieval: how often what was hidden in a context is found, by the context's length and the depth in it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from posext.analysis.curves import factor_suffix
from posext.analysis.retrieval import CURVE
from posext.report.gather import Source

CONDITIONS = {"needle": "Needle", "control": "Control"}


def figures(sources: Sequence[Source]) -> list[dict]:
    """A heat map for each extension and factor of each run, with a view a condition; none without retrieval.csv."""
    found = [
        (source.rows.run.iloc[0], table)
        for source in sources
        if len(source.retrieval)
        for _, table in source.retrieval.groupby(CURVE, sort=False)
    ]
    return [figure(f"retrieval-{i}", table, run) for i, (run, table) in enumerate(found)]


def figure(key: str, table: pd.DataFrame, run: str) -> dict:
    first = table.iloc[0]
    views = [view(table.loc[table.condition == at], name) for at, name in CONDITIONS.items()]
    title = f"{first.task}: {run}{' → ' + first.extend if first.extend else ''}{factor_suffix(first.factor)}"
    return {"id": key, "title": title, "heat": True, "legend": False, "x": {"title": "context length (tokens)"}, "marks": [],
            "views": [found for found in views if found["traces"][0]["z"]]}  # fmt: skip


def view(table: pd.DataFrame, name: str) -> dict:
    """Accuracy as a grid, null where it was not measured; depths grow downwards, from the context's start to its end."""
    lengths, depths = sorted(table.context_length.unique()), sorted(table.depth.unique())
    rows: Any = table.itertuples()
    cells: dict[Any, Any] = {(row.depth, row.context_length): row for row in rows}
    grid = [[cells.get((depth, length)) for length in lengths] for depth in depths]
    trace = {
        "type": "heatmap", "uid": "heat", "zmin": 0, "zmax": 1, "colorscale": "Cividis", "xgap": 1, "ygap": 1,
        "x": [f"{int(n):,}" for n in lengths], "y": [f"{depth:.4g}" for depth in depths],
        "z": [[None if cell is None or pd.isna(cell.accuracy) else float(cell.accuracy) for cell in row] for row in grid],
        "text": [[said(cell) for cell in row] for row in grid], "texttemplate": "%{z:.0%}", "hoverongaps": False,
        "hovertemplate": "%{x} tokens, depth %{y}: %{text}<extra></extra>",
        "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
    }  # fmt: skip
    return {"name": name, "axis": "depth in the context", "traces": [trace]}


def said(cell: Any) -> str:
    if cell is None or pd.isna(cell.accuracy):
        return ""
    between = f"[{cell.accuracy_low:.0%}, {cell.accuracy_high:.0%}]"
    return f"<b>{cell.accuracy:.0%}</b> {between}, {cell.correct:.0f} of {cell.trials:.0f}"
