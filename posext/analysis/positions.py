"""`positions.parquet`: the loss by position under `per_position`, and its moving average.

It has sums by document of many small parts of a window, where documents.parquet has those of a few
buckets. A part is named by the largest context in it, in tokens.

Shape suffixes: D documents, P parts.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from posext.analysis.csv_table import upsert_rows
from posext.analysis.curves import COLUMNS, EXTENSION, STATISTICS
from posext.analysis.statistics import interval
from posext.config import OWN, PER_POSITION
from posext.utils.atomic import replacing
from posext.utils.errors import PosextError

FILE = "positions.parquet"
CURVE = [*EXTENSION, "corpus"]
POSITION_COLUMNS = [*CURVE, "document", "context_length", "nll", "tokens"]


def read_positions(folder: Path) -> pd.DataFrame:
    """Read the sums of a run by position; empty if there are none.

    Raises PosextError for a damaged file.
    """
    file = folder / FILE
    try:
        stored = pd.read_parquet(file) if file.is_file() else None
    except (ValueError, OSError) as error:
        raise PosextError(f"{file} is damaged: {error}") from error
    if stored is None:
        return pd.DataFrame(columns=POSITION_COLUMNS)
    return stored if "corpus" in stored else stored.assign(corpus=OWN)


def write_positions(folder: Path, rows: pd.DataFrame) -> None:
    """Write the sums of a curve by position, in place of those of the same curve."""
    table = upsert_rows(read_positions(folder), rows.loc[:, POSITION_COLUMNS], CURVE)
    with replacing(folder / FILE) as temporary:
        table.to_parquet(temporary, index=False)


def smoothed_curves(folder: Path, curves: pd.DataFrame, width: int) -> pd.DataFrame:
    """Average the loss of a run's curves over neighbouring positions.

    The average at a part is over the parts within half the width on both sides. Towards the ends of
    the window it is over fewer, on both sides alike, so that it stays centred.

    Args:
        folder: The folder of the run.
        curves: Its rows of curves.csv.
        width: Width of the average in tokens; at least one part is averaged.

    Returns:
        Rows in the form of curves.csv, one for each curve and part, with intervals over documents.

    Raises:
        PosextError: A curve has no sums by position.
    """
    stored = read_positions(folder)
    frames = []
    for key, rows in curves.loc[curves.protocol == PER_POSITION].groupby(CURVE, sort=False):
        of_curve = stored.loc[(stored[CURVE] == list(key)).all(axis="columns")]
        if len(of_curve):
            frame = averages(of_curve, width)
            row = rows.iloc[-1].drop(["context_length", "targets", *STATISTICS])
            frames.append(frame.assign(**row.to_dict(), targets=""))
    if not frames:
        raise PosextError(
            f"{folder} has no losses by position: posext evaluate run={folder} "
            f"'protocols=[{PER_POSITION}]' measures them"
        )
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)


def averages(positions: pd.DataFrame, width: int) -> pd.DataFrame:
    """Average the sums of one curve: `context_length`, and STATISTICS without bytes, by part."""
    by_part = positions.pivot_table(
        ["nll", "tokens"], "context_length", "document", aggfunc="sum", fill_value=0
    )
    nll_PD, tokens_PD = (by_part[name].to_numpy(float) for name in ("nll", "tokens"))
    parts = by_part.index.to_numpy()
    size = int(parts[0])  # of a part, in tokens; the last may be smaller
    from_start = np.arange(len(parts))
    half = np.minimum(width // size // 2, np.minimum(from_start, from_start[::-1]))
    rows = []
    for part, place, reach in zip(parts, from_start, half, strict=True):
        near = slice(place - reach, place + reach + 1)
        tokens_D = tokens_PD[near].sum(0)
        nll, low, high = interval(nll_PD[near].sum(0), tokens_D)
        documents = np.count_nonzero(tokens_D)
        rows.append((part, nll, low, high, np.exp(nll), documents, tokens_D.sum()))
    names = [name for name in STATISTICS if name != "bits_per_byte"]
    return pd.DataFrame(rows, columns=["context_length", *names])
