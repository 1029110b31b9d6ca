"""`posext collect`: what it writes of the runs that it gathers."""

from pathlib import Path

import pandas as pd
from helpers.stored_runs import write_run

from posext.analysis import retrieval
from posext.cli import collect


def write_answers(folder: Path, correct: int) -> None:
    """Write a retrieval.csv of one cell into the folder of a run."""
    cell = dict.fromkeys(retrieval.RETRIEVAL_COLUMNS, 1)
    cell |= {"task": "retrieval", "condition": "needle", "extend": "", "factor": ""}
    answers = pd.DataFrame([cell | {"trials": 8, "correct": correct}])
    answers.to_csv(folder / retrieval.FILE, index=False)


def test_gather_names_a_moved_run_as_its_curves_do(tmp_path, monkeypatch):
    """Its curves keep their sums, its answers and its config, whatever its folder is called."""
    folder = write_run(tmp_path / "mine")
    write_answers(folder, correct=3)
    (folder / "config.yaml").write_text("seed: 0\n")
    monkeypatch.chdir(folder.rename(tmp_path / "moved"))
    out = tmp_path / "study"
    collect.gather([Path(".")], out)
    assert [file.name for file in (out / "configs").iterdir()] == ["mine.yaml"]
    assert set(pd.read_parquet(out / "documents.parquet").run) == {"mine"}
    assert retrieval.read_collected(out / retrieval.FILE).run.tolist() == ["mine"]
