"""CSV tables of results: typed reading, and replacement of rows with the same key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from posext.utils.errors import PosextError


def read_csv_table(
    path: Path | str, text_columns: Sequence[str], number_columns: Sequence[str]
) -> pd.DataFrame:
    """Read a CSV file with typed columns.

    An empty field is an empty string in a text column and nan in a number column. No other field
    counts as missing, so a run named NA keeps its name.

    Raises:
        PosextError: The file is no CSV file, or not text.
    """
    text: Any = dict.fromkeys(text_columns, str)
    blank: Any = {name: [""] for name in number_columns}
    try:
        return pd.read_csv(path, dtype=cast(Any, text), keep_default_na=False, na_values=blank)
    except ValueError as error:  # of decoding and of parsing
        raise PosextError(f"{path} is no table of results: {error}") from error


def upsert_rows(before: pd.DataFrame, rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Rows of `before` whose key is not among the new rows, followed by the new rows."""
    if not len(before):
        return rows.reset_index(drop=True)
    new_keys = pd.MultiIndex.from_frame(rows.loc[:, key])
    other_rows = before.loc[~pd.MultiIndex.from_frame(before.loc[:, key]).isin(new_keys)]
    filled = [part for part in (other_rows, rows) if len(part)] or [rows]
    return pd.concat(filled, ignore_index=True)
