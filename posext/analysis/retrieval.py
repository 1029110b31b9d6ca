"""`retrieval.csv`, one row per (task, extension, context length, depth, condition): exact answers and their likelihood."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from posext.analysis.statistics import wilson

CONDITIONS = ("needle", "control")
FILE = "retrieval.csv"
CURVE = ["task", "extend", "factor"]
CELL = ["context_length", "depth", "distance", "condition"]
MEASURED = [*CELL, *"trials correct accuracy accuracy_low accuracy_high nll".split()]
COLUMNS = [*CURVE, *MEASURED]


def read(path: Path | str) -> pd.DataFrame:
    """A retrieval file; an empty frame with its columns where there is none."""
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    text: Any = {name: str for name in (*CURVE, "condition")}
    blank: Any = {name: [""] for name in COLUMNS if name not in text}
    return pd.read_csv(path, dtype=cast(Any, text), keep_default_na=False, na_values=blank).reindex(columns=COLUMNS)


def replace(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that were there, but for those of the same tasks, extensions and factors as the new ones, then the new ones."""
    known = pd.MultiIndex.from_frame(rows.loc[:, CURVE])
    kept = before.loc[~pd.MultiIndex.from_frame(before.loc[:, CURVE]).isin(known)] if len(before) else before
    return pd.concat([part for part in (kept, rows) if len(part)] or [rows], ignore_index=True)


def row(
    length: int, depth: float, distance: int, condition: str, correct: np.ndarray, nll: np.ndarray
) -> dict[str, Any]:
    """One cell from its trials: which were right, bool (trials,), and the nats a token of the answer, float (trials,)."""
    accuracy = wilson(int(correct.sum()), len(correct))
    cell = dict(zip(CELL, (length, depth, distance, condition), strict=True))
    estimate = {"accuracy": accuracy.value, "accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
    return {**cell, "trials": len(correct), "correct": int(correct.sum()), **estimate, "nll": float(nll.mean())}
