"""What a claim reads of a study: rows of a table, and a number for every seed."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from posext.utils.errors import PosextError


class Values(NamedTuple):
    """A number of a curve for every seed.

    Attributes:
        sums: By seed, frames of sums with index `document`; None without sums of documents.
        means: By seed, the number itself; infinite where the scheme is undefined.
    """

    sums: dict[int, pd.DataFrame] | None
    means: dict[int, float]


class Length(NamedTuple):
    """A length of a claim: `512`, or `4x` in multiples of the training length."""

    count: int
    is_multiple: bool


def length_of(text: str, call: object) -> Length:
    """Read a length. Raises PosextError for anything else."""
    count = text.removesuffix("x")
    if not count.isdecimal():
        raise PosextError(f"{call}: {text!r} is no length; 512 is one, or 4x of training lengths")
    return Length(int(count), count != text)


def chosen(
    rows: pd.DataFrame, name: str, wanted: Mapping[str, Any], key: Sequence[str], file: Path
) -> pd.DataFrame:
    """The rows of a curve in a table that a study stores.

    Args:
        rows: The table.
        name: What the claim calls the curve.
        wanted: Its columns with their values, as in `fits`.
        key: Columns that tell the rows of one curve apart.
        file: Where the table stands.

    Raises:
        PosextError: The table lacks a column, no row is as wanted, or several have the same key.
    """
    for column, value in wanted.items():
        if column not in rows:
            raise PosextError(f"{name}: {file} has no column {column!r}")
        rows = rows.loc[fits(rows.loc[:, column], column, str(value))]
    if not len(rows):
        raise PosextError(f"{name}: {file} holds no such rows ({dict(wanted)})")
    if rows.duplicated(list(key)).any():
        raise PosextError(f"{name} stands for several curves of {file}")
    return rows


def fits(values: pd.Series, column: str, wanted: str) -> pd.Series:
    """Mask of wanted values: a pattern for `run`, and `matched` for none, 1 or auto as factor."""
    if column == "run":
        return values.map(lambda run: fnmatchcase(run, wanted))
    if column == "factor" and wanted == "matched":
        return values.isin(("", "1", "auto"))
    if pd.api.types.is_numeric_dtype(values):
        try:
            return values == float(wanted)
        except ValueError:
            raise PosextError(f"{column}: {wanted!r} is no number") from None
    return values == wanted
