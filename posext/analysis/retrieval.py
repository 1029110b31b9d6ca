"""`retrieval.csv`, one row per (task, extension, context length, depth, condition): exact answers and their likelihood."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.curves import factor_suffix
from posext.analysis.statistics import wilson
from posext.config import RETRIEVAL
from posext.eval.retrieval.measure import MEASURED

FILE = "retrieval.csv"
CURVE = ["task", "extend", "factor"]
ACCURACY = ["accuracy", "accuracy_low", "accuracy_high"]
COLUMNS = [*CURVE, *MEASURED[:-1], *ACCURACY, MEASURED[-1]]


def read_retrieval(path: Path | str) -> pd.DataFrame:
    """A retrieval file; an empty frame with its columns where there is none."""
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    text: Any = {name: str for name in (*CURVE, "condition")}
    blank: Any = {name: [""] for name in COLUMNS if name not in text}
    return pd.read_csv(path, dtype=cast(Any, text), keep_default_na=False, na_values=blank).reindex(
        columns=COLUMNS
    )


def upsert_retrieval(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that were there, but for those of the same tasks, extensions and factors as the new ones, then the new ones."""
    known = pd.MultiIndex.from_frame(rows.loc[:, CURVE])
    kept = (
        before.loc[~pd.MultiIndex.from_frame(before.loc[:, CURVE]).isin(known)]
        if len(before)
        else before
    )
    return pd.concat([part for part in (kept, rows) if len(part)] or [rows], ignore_index=True)


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of MEASURED with the share of right answers and its Wilson interval."""
    pairs = zip(rows.correct, rows.trials, strict=True)
    shares = pd.DataFrame(
        [wilson(int(correct), int(trials)) for correct, trials in pairs], index=rows.index
    )
    return (
        rows.assign(**dict(zip(ACCURACY, shares.to_numpy().T, strict=True))) if len(rows) else rows
    )


def retrieval_table(rows: pd.DataFrame) -> str:
    """Shares of right answers over all depths, by curve and condition (rows) and context length (columns)."""
    share = shares(rows, [*CURVE, "condition"])
    labels = [
        (f"{task}: {extension_label(extend, factor)}", condition)
        for task, extend, factor, condition in share.index
    ]
    cells = [
        ["" if np.isnan(value) else f"{value:.2f}" for value in line]
        for line in share.to_numpy(float)
    ]
    lines = [[*label, *line] for label, line in zip(labels, cells, strict=True)]
    return tabulate(
        lines, headers=["exact answers", "", *map(str, share.columns)], disable_numparse=True
    )


def shares(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The share of right answers over all depths, by a key (rows) and context length (columns)."""
    total = rows.pivot_table(
        ["correct", "trials"], key, "context_length", aggfunc="sum", sort=False
    )
    share = cast(pd.DataFrame, total["correct"] / total["trials"])
    return share.sort_index(axis="columns")


def due(folder: Path, names: Sequence[str]) -> bool:
    """Whether a task among the protocols was not measured yet."""
    return not {name for name in names if name in RETRIEVAL} <= set(
        read_retrieval(folder / FILE).task
    )


def scalars(rows: pd.DataFrame) -> list[dict[str, float]]:
    """By context length, the share of right answers of every task and condition over all depths, for wandb."""
    if not len(rows):
        return []
    share = shares(rows, ["task", "condition"])
    names = [f"eval/{task}/{condition}" for task, condition in share.index]
    return [
        {"eval/context_length": n, **dict(zip(names, share[n], strict=True))} for n in share.columns
    ]


def extension_label(extend: str, factor: str) -> str:
    """Which scheme a curve is of: as trained, or the extension with its factor."""
    return (extend or "as trained") + factor_suffix(factor)
