"""What runs stored, read again: each curve's sums per document, and the documents that several of them share.

Shape suffixes: D documents, L context lengths.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from posext import curves

SUMS = "documents.parquet"
LINE = ["scheme", "extend", "factor", "original_length", "train_length"]  # one curve over seeds


class Curve(NamedTuple):
    """One curve of a run: a row of it in curves.csv, its sums by length, and those of the run's crop baseline."""

    row: Any
    sums: dict[int, pd.DataFrame]  # by context length; index document
    crop: pd.DataFrame | None

    @property
    def line(self) -> tuple[Any, ...]:
        return tuple(self.row[name] for name in LINE)


def read(folders: Sequence[Path], protocol: str = "fixed_target", group: str = "", factor: str = "all") -> list[Curve]:
    """The curves of runs under one protocol, on one of its groups of targets, in the order of the folders.

    Raises ValueError where a run has none, naming the protocols or groups it has.
    """
    return [curve for folder in folders for curve in of_run(folder, protocol, group, factor)]


def of_run(folder: Path, protocol: str, group: str, factor: str) -> list[Curve]:
    table, stored = curves.read(folder / "curves.csv"), sums(folder)
    if not len(table) or stored is None:
        raise ValueError(f"{folder} holds no curves; python -m posext.evaluate run={folder} measures a trained run")
    stored = with_value(stored, "protocol", protocol, folder)
    stored = stored.assign(group=stored.group.fillna("") if "group" in stored else "")
    stored = with_value(stored, "group", group, folder)
    firsts = table.loc[table.protocol == protocol].drop_duplicates(["extend", "factor"])
    found, crops = {}, []
    for index, row in firsts.iterrows():
        rows = stored.loc[(stored.extend == row.extend) & (stored.factor == row.factor)]
        found[index] = {int(str(n)): at.set_index("document") for n, at in rows.groupby("context_length")}
        crops += [found[index].get(row.train_length)] * (row.extend == "")
    crop = next((frame for frame in crops if frame is not None), None)
    kept = curves.with_factor(firsts, factor).iterrows()
    return [Curve(row, found[i], found[i].get(row.train_length) if crop is None else crop) for i, row in kept]


def sums(folder: Path) -> pd.DataFrame | None:
    """What measuring a run stored of each document, None where there is nothing. Raises ValueError for a damaged file."""
    file = folder / SUMS
    try:
        return pd.read_parquet(file) if file.exists() else None
    except (ValueError, OSError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error


def with_value(stored: pd.DataFrame, column: str, value: str, folder: Path) -> pd.DataFrame:
    """The rows that have a value. Raises ValueError where none has."""
    rows = stored[column] == value
    if not rows.to_numpy().any():
        valid = ", ".join(repr(name) for name in sorted(stored[column].unique()))
        raise ValueError(f"{folder} has no {column} {value!r}; it has {valid}")
    return stored.loc[rows]


def paired(frames: Sequence[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """NLL (L, D) and weights (D,) of the documents that all frames (index document) hold.

    Raises ValueError where they share none, or where one holds other targets than the first.
    """
    shared = frames[0].index
    for frame in frames[1:]:
        shared = shared.intersection(frame.index)
    if not len(shared):
        raise ValueError("no document was scored in both: the runs have other held-out documents")
    first = frames[0].loc[shared]
    for frame in frames[1:]:
        other = frame.loc[shared]
        differing = shared[(other.tokens != first.tokens) | (other.bytes != first.bytes)]
        if len(differing):
            one, two = (f"{f.tokens[differing[0]]} tokens of {f.bytes[differing[0]]} bytes" for f in (first, other))
            raise ValueError(f"not the same targets: {differing[0]} has {one} in one curve and {two} in the other")
    weight_D = first.weight.fillna(first.tokens) if "weight" in first else first.tokens
    return np.stack([frame.loc[shared].nll.to_numpy(float) for frame in frames]), weight_D.to_numpy(float)
