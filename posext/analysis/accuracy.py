"""`accuracy.csv`: a row per (run, extension, length of examples) of an algorithmic task.

Terms:
    exact match: Share of the examples whose whole answer is right.
    token accuracy: Share of the symbols of the answers that are right.
    normalized accuracy: Token accuracy on a scale on which a guess without the question has 0
        (posext.data.algorithmic.task.Task.chance) and no error 1; undefined where a guess makes no
        error.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from posext.analysis.csv_table import read_csv_table
from posext.analysis.statistics import wilson
from posext.eval.accuracy import COUNT_COLUMNS
from posext.utils.errors import PosextError

FILE = "accuracy.csv"
EXTENSION = ["extend", "factor"]
RUN_COLUMNS = [
    "study",
    "run",
    "scheme",
    *EXTENSION,
    "model",
    "parameters",
    "seed",
    "task",
    "trained_length",
]
EXACT = ["exact_match", "exact_match_low", "exact_match_high"]
NORMALIZED = ["normalized_accuracy", "normalized_accuracy_low", "normalized_accuracy_high"]
COLUMNS = [*RUN_COLUMNS, *COUNT_COLUMNS, *EXACT, "token_accuracy", *NORMALIZED, "commit"]
TEXT_COLUMNS = ["study", "run", "scheme", *EXTENSION, "model", "task", "commit"]
OVER_SEEDS = ["scheme", *EXTENSION]  # the columns of a line of a table or chart, over its seeds
METRICS = {"exact": EXACT[0], "normalized": NORMALIZED[0]}  # by the names of a command line


def read_accuracy(path: Path | str) -> pd.DataFrame:
    """Read an accuracy file into COLUMNS; empty if the file does not exist.

    Raises PosextError if the file holds something else.
    """
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    numbers = [name for name in COLUMNS if name not in TEXT_COLUMNS]
    rows = read_csv_table(path, TEXT_COLUMNS, numbers)
    if lacking := set(COLUMNS) - set(rows):
        raise PosextError(
            f"{path} is no file of accuracies: it has no column {', '.join(sorted(lacking))}"
        )
    return rows.loc[:, COLUMNS]


def of_runs(paths: Iterable[Path]) -> pd.DataFrame:
    """Read the accuracies of run folders, collected folders or files, and concatenate them.

    Raises PosextError if none has any.
    """
    paths = list(paths)
    files = [path / FILE if path.is_dir() else path for path in paths]
    tables = [table for file in files if len(table := read_accuracy(file))]
    if not tables:
        raise PosextError(
            f"none of these holds accuracies: {', '.join(map(str, paths))}; "
            "a run of data=algorithmic has them once it is measured"
        )
    return pd.concat(tables).drop_duplicates(ignore_index=True)  # a run and a study that holds it


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the accuracies and their Wilson intervals to rows of COUNT_COLUMNS.

    The interval of the normalized accuracy is that of `effective_symbols` independent symbols.
    Lengths at which a scheme is undefined have none, nor has the normalized accuracy where a guess
    makes no error.
    """
    measured = rows.loc[rows.examples > 0]
    exact = [wilson(row.exact, row.examples) for row in measured.itertuples()]
    share = measured.right / measured.symbols
    token = [
        wilson(of * count, count)
        for of, count in zip(share, measured.effective_symbols, strict=True)
    ]
    floor = measured.chance.where(measured.chance < 1).to_numpy()[:, None]
    normalized = (np.array(token).reshape(-1, 3) - floor) / (1 - floor)
    estimates = pd.DataFrame(
        np.hstack([np.array(exact).reshape(-1, 3), normalized]),
        columns=[*EXACT, *NORMALIZED],
        index=measured.index,
    )
    return rows.join(estimates.assign(token_accuracy=share)).astype({"examples": int})


def has_rows(folder: Path, places: Collection[tuple[str, str, int]]) -> bool:
    """Return whether a run's folder has every extension, factor and length in tokens."""
    rows = read_accuracy(folder / FILE)
    return set(places) <= set(zip(rows.extend, rows.factor, rows.tokens, strict=True))
