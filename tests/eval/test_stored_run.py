"""A run made before the code moved into its rooms is measured as it was then."""

import shutil
from pathlib import Path

import pandas as pd

from posext.analysis.curves import COLUMNS, read_curves

BEFORE = Path(__file__).resolve().parents[1] / "fixtures" / "run_before_rooms"
KEY = ["extend", "factor", "protocol", "group", "context_length", "document"]


def test_evaluate_measures_a_run_of_before_as_it_was_measured_then(command, tmp_path):
    """To the last bit on the machine that made it; elsewhere as far as processors round alike."""
    shutil.copytree(BEFORE, folder := tmp_path / "before")
    for name in ("curves.csv", "documents.parquet"):
        (folder / name).unlink()
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("cache: CACHE", f"cache: {tmp_path / 'cache'}"))
    code, _, err = command("evaluate", f"run={folder}")
    assert code == 0, err
    now, then = (
        pd.read_parquet(at / "documents.parquet").sort_values(KEY) for at in (folder, BEFORE)
    )
    pd.testing.assert_frame_equal(now, then, check_exact=False, rtol=1e-6)
    curves, before = (pd.read_csv(at / "curves.csv") for at in (folder, BEFORE))
    measured = [
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
    pd.testing.assert_frame_equal(curves[measured], before[measured], check_exact=False, rtol=1e-6)


def test_read_curves_reads_the_trained_length_under_its_former_name():
    file = BEFORE / "curves.csv"
    assert "train_length" in pd.read_csv(file)
    rows = read_curves(file)
    assert list(rows) == COLUMNS
    assert set(rows.trained_length) == {32}
