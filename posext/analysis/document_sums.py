"""What runs stored, read again: each curve's sums per document, and the documents that several of them share.

Shape suffixes: D documents, L context lengths.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from posext.analysis import curves
from posext.utils.errors import PosextError

SUMS = "documents.parquet"
CURVE_KEY = [
    "scheme",
    "extend",
    "factor",
    "original_length",
    "trained_length",
]  # one curve over seeds


class StoredCurve(NamedTuple):
    """One curve of a run: a row of it in curves.csv, its sums by length, and those of the run's crop baseline."""

    run: tuple[Path, str]  # where it stands, and its name
    rows: pd.DataFrame  # of curves.csv
    sums: dict[int, pd.DataFrame]  # by context length; index document
    crop: pd.DataFrame | None

    @property
    def row(self) -> Any:
        return self.rows.iloc[0]

    @property
    def name(self) -> str:
        return curves.named(self.row)

    @property
    def line(self) -> tuple[Any, ...]:
        return tuple(self.row[name] for name in CURVE_KEY)


def read(
    folders: Sequence[Path], protocol: str = "fixed_target", group: str = "", factor: str = "all"
) -> list[StoredCurve]:
    """The curves of runs under one protocol, on one of its groups of targets, in the order of the folders.

    A folder is that of a run, or of a study into which posext collect put several. Raises PosextError where one has none,
    naming the protocols or groups it has, and for curves on different targets.
    """
    found = [curve for folder in folders for curve in of_folder(folder, protocol, group, factor)]
    if found:
        curves.refuse_mixed_targets(pd.concat([curve.rows for curve in found], ignore_index=True))
    return found


def of_folder(
    folder: Path, protocol: str, group: str, factor: str, known: pd.DataFrame | None = None
) -> list[StoredCurve]:
    """As `read`, of one folder; of its curves.csv the `known` rows, or all."""
    stored = sums(folder)
    table = curves.read_curves(folder / "curves.csv") if known is None else known
    if not len(table) or stored is None:
        raise PosextError(
            f"{folder} holds no curves; python -m posext.evaluate run={folder} measures a trained run"
        )
    stored = filter_or_raise(stored, "protocol", protocol, folder)
    stored = stored.assign(group=stored.group.fillna("") if "group" in stored else "")
    stored = filter_or_raise(stored, "group", group, folder)
    table = table.loc[
        (table.protocol == protocol) & table.group.isin((group, ""))
    ]  # "" where undefined, with groups
    parts = []
    for run, rows in table.groupby("run", sort=False):
        of_it = stored.loc[stored.run == run] if "run" in stored else stored
        parts += of_run((folder, str(run)), rows, of_it, factor)
    return parts


def of_run(
    run: tuple[Path, str], table: pd.DataFrame, stored: pd.DataFrame, factor: str
) -> list[StoredCurve]:
    """The curves of one run, from its rows of curves.csv and its sums."""
    found, crops = [], []
    for _, rows in table.groupby(["extend", "factor"], sort=False):
        extend, own_factor = rows.extend.iloc[0], rows.factor.iloc[0]
        of_curve = stored.loc[(stored.extend == extend) & (stored.factor == own_factor)]
        by_length = {
            int(str(n)): at.set_index("document") for n, at in of_curve.groupby("context_length")
        }
        at_train = by_length.get(rows.trained_length.iloc[0])
        crops += [at_train] * (extend == "")
        found.append(StoredCurve(run, rows, by_length, at_train))
    crop = next((frame for frame in crops if frame is not None), None)
    wanted = [curve for curve in found if len(curves.select_factor(curve.rows, factor))]
    return wanted if crop is None else [curve._replace(crop=crop) for curve in wanted]


def sums(folder: Path) -> pd.DataFrame | None:
    """What measuring a run stored of each document, None where there is nothing. Raises PosextError for a damaged file."""
    file = folder / SUMS
    try:
        return pd.read_parquet(file) if file.exists() else None
    except (ValueError, OSError) as error:
        raise PosextError(f"{file} is damaged: {error}") from error


def filter_or_raise(stored: pd.DataFrame, column: str, value: str, folder: Path) -> pd.DataFrame:
    """The rows that have a value. Raises PosextError where none has."""
    rows = stored[column] == value
    if not rows.to_numpy().any():
        valid = ", ".join(repr(name) for name in sorted(stored[column].unique()))
        raise PosextError(f"{folder} has no {column} {value!r}; it has {valid}")
    return stored.loc[rows]


def align_documents(
    frames: Sequence[pd.DataFrame], names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """NLL (L, D) and weights (D,) of the documents of some frames (index document), which must be the same in all.

    Raises PosextError where one holds other documents or targets than the first; `names` says whose the frames are.
    """
    first = frames[0]
    for number, frame in enumerate(frames[1:], start=1):
        one, two = (names[0], names[number]) if names else ("one curve", "the other")
        both = len(first.index.intersection(frame.index))
        if not both == len(first) == len(frame):
            raise PosextError(
                f"{one} and {two} are measured on different documents ({len(first)} and {len(frame)}, {both} of them "
                f"in both), so they cannot be held against each other: {curves.MEND}"
            )
        other = frame.loc[first.index]
        differing = first.index[(other.tokens != first.tokens) | (other.bytes != first.bytes)]
        if len(differing):
            at = differing[0]
            here, there = (f"{f.tokens[at]} tokens of {f.bytes[at]} bytes" for f in (first, other))
            raise PosextError(
                f"{one} and {two} are measured on different targets (of {at}, {here} and {there}), so they cannot be held "
                f"against each other: {curves.MEND}"
            )
    weight_D = first.weight.fillna(first.tokens) if "weight" in first else first.tokens
    return np.stack(
        [frame.loc[first.index].nll.to_numpy(float) for frame in frames]
    ), weight_D.to_numpy(float)
