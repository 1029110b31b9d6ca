"""The name of a run in its measurements."""

import pandas as pd
import pytest
from helpers.stored_runs import write_run

from posext.analysis.measured_name import measured_name
from posext.utils.errors import PosextError


def test_measured_name_is_that_of_the_curves_after_a_move(tmp_path, monkeypatch):
    moved = write_run(tmp_path / "mine").rename(tmp_path / "moved")
    assert measured_name(moved) == "mine"
    (moved / "curves.csv").unlink()
    monkeypatch.chdir(moved)
    assert measured_name(moved.relative_to(moved)) == "moved"


def test_measured_name_refuses_several_names(tmp_path):
    folder = write_run(tmp_path / "mine")
    rows = pd.read_csv(folder / "curves.csv")
    pd.concat([rows, rows.assign(run="other", extend="yarn")]).to_csv(folder / "curves.csv")
    with pytest.raises(PosextError, match="holds measurements of runs named mine, other"):
        measured_name(folder)
