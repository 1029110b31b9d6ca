"""A run that an earlier version trained is measured as it was then."""

import shutil
from pathlib import Path
from typing import cast

import pandas as pd

from posext.analysis import document_sums
from posext.analysis.curves import read_curves

FORMER_RUN = Path(__file__).resolve().parents[1] / "fixtures" / "run_before_rooms"
KEY = ["extend", "factor", "protocol", "group", "context_length", "document"]
MEASURED = [
    "protocol",
    "context_length",
    "targets",
    "nll",
    "nll_low",
    "nll_high",
    "perplexity",
    "documents",
    "tokens",
]


def as_before(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that both versions measure, and measure right.

    The former one had no weights without scaling. It gave the fixed factor the loss of the matched
    one in the windows of `sliding` that the end of a document cuts short of the longest length.
    """
    fixed = ~rows.factor.isin(("", "auto"))
    at_the_end = (rows.protocol == "sliding") & (rows.context_length == rows.context_length.max())
    return rows.loc[(rows.extend != "rope") & ~(fixed & at_the_end)].reset_index(drop=True)


def sorted_sums(folder: Path) -> pd.DataFrame:
    return as_before(cast(pd.DataFrame, document_sums.sums(folder)).sort_values(KEY))


def test_evaluate_measures_a_former_run_as_before(command, tmp_path):
    """The numbers are equal to the last bit on the machine that made them, else to rounding."""
    folder = tmp_path / "before"
    shutil.copytree(FORMER_RUN, folder)
    for name in ("curves.csv", "documents.parquet"):
        (folder / name).unlink()
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("cache: CACHE", f"cache: {tmp_path / 'cache'}"))
    code, _, err = command("evaluate", f"run={folder}")
    assert code == 0, err
    pd.testing.assert_frame_equal(
        sorted_sums(folder), sorted_sums(FORMER_RUN), check_exact=False, rtol=1e-6
    )
    curves, before = (as_before(read_curves(path / "curves.csv")) for path in (folder, FORMER_RUN))
    ends = ["nll_low", "nll_high"]
    numbers = [name for name in MEASURED if name not in ends]
    pd.testing.assert_frame_equal(curves[numbers], before[numbers], check_exact=False, rtol=1e-6)
    # an end is a difference of numbers of the size of the loss, and has their error however small
    pd.testing.assert_frame_equal(
        curves[ends], before[ends], check_exact=False, rtol=1e-6, atol=1e-6
    )
