"""`retrieval.csv`: a row per (task, extension, context length, depth, condition).

It has the accuracy (exact match) and the NLL of the answers.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.csv_table import read_csv_table, upsert_rows
from posext.analysis.curves import RETRIEVAL_CURVE, factor_suffix
from posext.analysis.measured_name import measured_name
from posext.analysis.statistics import wilson
from posext.config import RETRIEVAL
from posext.data.recall.tasks import TASKS
from posext.eval.retrieval.measure import CELL_COLUMNS

FILE = "retrieval.csv"
ACCURACY = ["accuracy", "accuracy_low", "accuracy_high"]
RETRIEVAL_COLUMNS = [*RETRIEVAL_CURVE, *CELL_COLUMNS[:-1], *ACCURACY, CELL_COLUMNS[-1]]
RETRIEVAL_TEXT_COLUMNS = [*RETRIEVAL_CURVE, "condition"]
RUN_COLUMNS = ["run", "scheme", "seed", "trained_length"]  # of a file that holds several runs


def read_retrieval(path: Path | str) -> pd.DataFrame:
    """Read a retrieval file into RETRIEVAL_COLUMNS; empty if the file does not exist."""
    if not Path(path).exists():
        return pd.DataFrame(columns=RETRIEVAL_COLUMNS)
    numbers = [name for name in RETRIEVAL_COLUMNS if name not in RETRIEVAL_TEXT_COLUMNS]
    rows = read_csv_table(path, RETRIEVAL_TEXT_COLUMNS, numbers)
    return rows.reindex(columns=RETRIEVAL_COLUMNS)


def read_collected(path: Path | str) -> pd.DataFrame:
    """Read a retrieval file of several runs into RUN_COLUMNS and RETRIEVAL_COLUMNS."""
    texts = ["run", "scheme", *RETRIEVAL_TEXT_COLUMNS]
    columns = [*RUN_COLUMNS, *RETRIEVAL_COLUMNS]
    return read_csv_table(path, texts, [name for name in columns if name not in texts])


def of_runs(folders: Sequence[Path], curves: pd.DataFrame) -> pd.DataFrame:
    """Read the retrieval files of runs, and add RUN_COLUMNS from the runs' curves.

    A folder is that of a run, or one of several runs, whose file has these columns.
    """
    columns = [*RUN_COLUMNS, *RETRIEVAL_COLUMNS]
    runs = curves.loc[:, RUN_COLUMNS].drop_duplicates("run")
    named = []
    for folder in folders:
        if not (folder / FILE).is_file():
            continue
        if (folder / "configs").is_dir():
            rows = read_collected(folder / FILE)
        else:
            answers = read_retrieval(folder / FILE).assign(run=measured_name(folder))
            rows = answers.merge(runs, on="run")
        named.append(rows.loc[:, columns])
    return pd.concat(named, ignore_index=True) if named else pd.DataFrame(columns=columns)


def over_trials(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Add up the counts of rows with the same key, and give their accuracy with its interval."""
    counts = rows.groupby(key, sort=False, as_index=False)
    sums = counts.agg({"trials": "sum", "correct": "sum"})
    return with_intervals(sums)


def upsert_retrieval(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the rows of the same tasks, extensions and factors, with the new rows last."""
    return upsert_rows(before, rows, RETRIEVAL_CURVE)


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the accuracy and its Wilson interval to rows of CELL_COLUMNS."""
    if not len(rows):
        return rows
    estimates = [
        wilson(int(correct), int(trials))
        for correct, trials in zip(rows.correct, rows.trials, strict=True)
    ]
    accuracy = pd.DataFrame(estimates, index=rows.index)
    return rows.assign(**dict(zip(ACCURACY, accuracy.to_numpy().T, strict=True)))


def retrieval_table(rows: pd.DataFrame) -> str:
    """Table of accuracy over all depths, by curve and condition (rows) and length (columns)."""
    share = shares(rows, [*RETRIEVAL_CURVE, "condition"])
    labels = [
        (f"{task}: {extension_label(extend, factor)}", condition)
        for task, extend, factor, condition in share.index
    ]
    cells = [
        ["" if np.isnan(value) else f"{value:.2f}" for value in values]
        for values in share.to_numpy(float)
    ]
    lines = [[*label, *values] for label, values in zip(labels, cells, strict=True)]
    headers = ["exact answers", "", *map(str, share.columns)]
    return tabulate(lines, headers=headers, disable_numparse=True)


def shares(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Accuracy over all depths, by a key (rows) and context length (columns)."""
    totals = rows.pivot_table(
        ["correct", "trials"], key, "context_length", aggfunc="sum", sort=False
    )
    share = cast(pd.DataFrame, totals["correct"] / totals["trials"])
    return share.sort_index(axis="columns")


def due(folder: Path, protocols: Collection[str], places: Collection[tuple[str, str, int]]) -> bool:
    """Whether a retrieval task is asked for, and lacks an extension, factor and context length.

    A task of posext.data.recall lacks no length that is too short for it. The lengths of `passkey`
    depend on the tokenizer: it lacks nothing where it has one.
    """
    answers = read_retrieval(folder / FILE)
    columns = (answers.task, answers.extend, answers.factor, answers.context_length)
    measured = set(zip(*columns, strict=True))
    known = {row[:3] for row in measured}
    for task in set(protocols) & set(RETRIEVAL):
        for extend, factor, length in places:
            if task not in TASKS:
                if (task, extend, factor) not in known:
                    return True
            elif length >= TASKS[task].shortest and (task, extend, factor, length) not in measured:
                return True
    return False


def scalars(rows: pd.DataFrame) -> list[dict[str, float]]:
    """Accuracy of every task and condition over all depths, by context length, for wandb."""
    if not len(rows):
        return []
    share = shares(rows, ["task", "condition"])
    names = [f"eval/{task}/{condition}" for task, condition in share.index]
    return [
        {"eval/context_length": length, **dict(zip(names, share[length], strict=True))}
        for length in share.columns
    ]


def extension_label(extend: str, factor: str) -> str:
    """Label of an extension with its factor, or `as trained`."""
    return (extend or "as trained") + factor_suffix(factor)
