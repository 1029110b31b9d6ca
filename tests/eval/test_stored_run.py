"""A run that an earlier version trained is measured as it was then."""

import shutil
from pathlib import Path

import pandas as pd

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


def sorted_sums(folder: Path) -> pd.DataFrame:
    """The sums of what both versions measure, which is all but the weights without scaling."""
    sums = pd.read_parquet(folder / "documents.parquet").sort_values(KEY)
    return sums.loc[sums.extend != "rope"].reset_index(drop=True)


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
    curves, before = (pd.read_csv(path / "curves.csv") for path in (folder, FORMER_RUN))
    curves = curves.loc[curves.extend != "rope"].reset_index(drop=True)
    pd.testing.assert_frame_equal(curves[MEASURED], before[MEASURED], check_exact=False, rtol=1e-6)
