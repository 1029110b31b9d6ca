"""The folder of a run."""

from pathlib import Path

from posext.runs.run import load_run

FORMER_RUN = Path(__file__).resolve().parents[1] / "fixtures" / "run_before_rooms"


def test_name_of_the_current_folder_is_not_empty(monkeypatch):
    monkeypatch.chdir(FORMER_RUN)
    assert load_run(".").name == FORMER_RUN.name
