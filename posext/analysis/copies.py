"""Curves that several paths hold, as the folder of a run and a study with that run do."""

from pathlib import Path
from typing import cast

import pandas as pd

from posext.utils.errors import PosextError

SAME_LOSS = 1e-9  # nats by which a loss may change when it is read and written again


def without_copies(tables: dict[Path, pd.DataFrame], key: list[str]) -> dict[Path, pd.DataFrame]:
    """Leave out of the curves of each path the rows whose key an earlier path has.

    Raises PosextError where their losses differ: then two runs have one name.
    """
    if len(tables) < 2:
        return tables
    joined = pd.concat([rows.assign(path=path) for path, rows in tables.items()], ignore_index=True)
    rows_of_key = joined.groupby(key, sort=False)
    first_path = rows_of_key.path.transform("first")
    is_copy = joined.path != first_path
    spread = rows_of_key.nll.transform("max") - rows_of_key.nll.transform("min")
    differing = joined.index[is_copy & (spread > SAME_LOSS)]
    if len(differing):
        row = differing[0]
        raise PosextError(
            f"{first_path[row]} and {joined.path[row]} have different curves of a run named "
            f"{joined.run[row]}: rename one run, or leave one path out"
        )
    by_path = joined.loc[~is_copy].groupby("path", sort=False)
    return {cast(Path, path): rows.drop(columns="path") for path, rows in by_path}
