"""Tables of accuracy: one run by length, and schemes over tasks with their ranks."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.accuracy import EXACT, METRICS, NORMALIZED, OVER_SEEDS
from posext.analysis.curves import factor_suffix, refuse_repeated_seeds
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)


def line_label(scheme: str, extend: str, factor: str) -> str:
    """Return the name of a scheme with its extension."""
    return f"{scheme} → {extend}{factor_suffix(factor)}" if extend else scheme


def accuracy_table(rows: pd.DataFrame) -> str:
    """Table of a run: exact match and normalized accuracy (columns) by curve and length (rows)."""
    lines = []
    named: Any = rows.itertuples()
    for row in named:
        label = line_label(row.scheme, row.extend, row.factor)
        cells = [estimate_text(rows, row.Index, names) for names in (EXACT, NORMALIZED)]
        lines.append([row.task, label, row.length, *cells])
    headers = ["task", "scheme", "length", "exact match", "normalized accuracy"]
    return tabulate(lines, headers=headers, disable_numparse=True)


def estimate_text(rows: pd.DataFrame, index: object, columns: Sequence[str]) -> str:
    """Return an estimate with its interval; empty for an undefined length."""
    value, low, high = rows.loc[index, list(columns)].astype(float)
    return "" if pd.isna(value) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def beyond_training(rows: pd.DataFrame, multiples: Sequence[float] | None) -> pd.DataFrame:
    """Select the lengths that a summary is over.

    Args:
        rows: Rows of accuracy.csv.
        multiples: Lengths over the longest trained; None: all that are longer.

    Raises:
        PosextError: None of the lengths was measured.
    """
    multiple = rows.length / rows.trained_length
    chosen = rows.loc[multiple > 1 if multiples is None else multiple.isin(multiples)]
    if not len(chosen):
        wanted = "no length beyond training" if multiples is None else f"no multiple {multiples}"
        measured = ", ".join(f"{value:g}" for value in sorted(set(multiple)))
        raise PosextError(f"{wanted} was measured, of the longest length trained: only {measured}")
    return chosen


def mean_over_seeds(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the mean over seeds by line (rows), and task and length (columns).

    A length at which a scheme is undefined counts as 0; what was not measured is nan. A column that
    fewer than half of the lines have is left out, with a warning.

    Raises PosextError if a line has two runs of one seed and task.
    """
    groups: Any = rows.groupby([*OVER_SEEDS, "task"], sort=False)
    for (*line, task), of_task in groups:
        runs = zip(of_task.seed.astype(int), of_task.run, strict=True)
        refuse_repeated_seeds(runs, f"{line_label(*line)} on {task}")
    values = rows.assign(value=rows[METRICS[metric]].fillna(0))
    means: Any = values.pivot_table(
        "value", OVER_SEEDS, ["task", "length"], aggfunc="mean", sort=False
    )
    rare = means.columns[means.notna().mean() < 0.5]
    if len(rare):
        tasks = ", ".join(sorted({str(task) for task, _ in rare}))
        log.warning("few schemes were measured on %s, which is left out of the summary", tasks)
    return means.drop(columns=rare)


def reciprocal_ranks(means: pd.DataFrame) -> pd.DataFrame:
    """Return one over the rank of each row in each column, 1 for the largest value.

    Equal values share the mean of their ranks.
    """
    return 1 / means.rank(ascending=False, method="average")


def summary(rows: pd.DataFrame, metric: str, multiples: Sequence[float] | None) -> pd.DataFrame:
    """Summarise schemes over tasks.

    Lengths at which a guess makes no error, so that no scheme has a normalized accuracy, are left
    out of its summary.

    Args:
        rows: Rows of accuracy.csv.
        metric: A key of METRICS.
        multiples: Lengths, as in `beyond_training`.

    Returns:
        By line: the mean of each task over seeds and lengths; `mean` over the tasks; `mrr`, the
        mean reciprocal rank (Kazemnejad et al. 2023, arXiv:2305.19466) over tasks and lengths; and
        `seeds`, the fewest of any task. The best rank is first. A line that lacks a task has nan in
        its place, and neither mean nor rank.
    """
    if metric == "normalized":
        rows = rows.loc[rows.chance < 1]
    chosen = beyond_training(rows, multiples)
    means = mean_over_seeds(chosen, metric)
    transposed: Any = means.T
    by_task = transposed.groupby(level="task", sort=False).mean().T
    seeds: Any = chosen.groupby([*OVER_SEEDS, "task"], sort=False).seed.nunique()
    is_complete = means.notna().all(axis="columns")
    table = by_task.assign(
        mean=by_task.mean(axis="columns").where(is_complete),
        mrr=reciprocal_ranks(means.loc[is_complete]).mean(axis="columns"),
        seeds=seeds.groupby(level=OVER_SEEDS, sort=False).min(),
    )
    return table.sort_values("mrr", ascending=False, kind="stable")


def share_text(value: float) -> str:
    """Return a share with two decimals; empty for what was not measured."""
    return "" if np.isnan(value) else f"{value:.2f}"


def summary_table(table: pd.DataFrame, style: str = "github") -> str:
    """Return a summary as a table in a style of tabulate (default: Markdown)."""
    lines = [
        [line_label(*map(str, label)), *map(share_text, values), f"{seeds:.0f}"]
        for label, *values, seeds in (
            (index, *row) for index, row in zip(table.index, table.to_numpy(float), strict=True)
        )
    ]
    headers = ["scheme", *table.columns]
    return tabulate(lines, headers=headers, tablefmt=style, disable_numparse=True)
