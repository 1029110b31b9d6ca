"""`posext collect`: what it writes of the runs that it gathers."""

from pathlib import Path

import pandas as pd
import pytest
from helpers.stored_runs import write_run

from posext.analysis import retrieval
from posext.cli import collect
from posext.utils.errors import PosextError


def write_answers(folder: Path, correct: int) -> None:
    """Write a retrieval.csv of one cell into the folder of a run."""
    cell = dict.fromkeys(retrieval.RETRIEVAL_COLUMNS, 1)
    cell |= {"task": "retrieval", "condition": "needle", "extend": "", "factor": ""}
    answers = pd.DataFrame([cell | {"trials": 8, "correct": correct}])
    answers.to_csv(folder / retrieval.FILE, index=False)


def write_measured(folder: Path, **columns) -> Path:
    """Write the folder of a run with its curve and config."""
    write_run(folder, **columns)
    (folder / "config.yaml").write_text("seed: 0\n")
    return folder


def test_gather_names_a_moved_run_as_its_curves_do(tmp_path, monkeypatch):
    """Its curves keep their sums, its answers and its config, whatever its folder is called."""
    folder = write_measured(tmp_path / "mine")
    write_answers(folder, correct=3)
    monkeypatch.chdir(folder.rename(tmp_path / "moved"))
    out = tmp_path / "study"
    collect.gather([Path(".")], out)
    assert [file.name for file in (out / "configs").iterdir()] == ["mine.yaml"]
    assert set(pd.read_parquet(out / "documents.parquet").run) == {"mine"}
    assert retrieval.read_collected(out / retrieval.FILE).run.tolist() == ["mine"]


def test_gather_refuses_a_run_of_two_sources(tmp_path):
    """Its sums would count twice; one source after the other replaces them."""
    run = write_measured(tmp_path / "mine")
    study, out = tmp_path / "study", tmp_path / "out"
    collect.gather([run], study)
    with pytest.raises(PosextError, match=r"mine\.yaml are of runs named mine: collect one after"):
        collect.gather([run, study], out)
    assert not out.exists()
    collect.gather([study], out)
    collect.gather([run], out)
    stored = [pd.read_parquet(folder / "documents.parquet") for folder in (run, out)]
    assert len(stored[0]) == len(stored[1])


def test_gather_that_is_killed_leaves_every_file_whole(tmp_path, monkeypatch):
    """The files that it had not come to are as before, and the next call writes all."""
    run = write_measured(tmp_path / "mine")
    out = tmp_path / "study"
    collect.gather([run], out)
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    write_run(run, extend="alibi")

    def killed(table: pd.DataFrame, path: Path, **settings) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", killed)
        with pytest.raises(KeyboardInterrupt):
            collect.gather([run], out)
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    collect.gather([run], out)
    assert set(pd.read_parquet(out / "documents.parquet").extend) == {"", "alibi"}


def test_gather_takes_a_run_without_sums(tmp_path):
    folder = write_measured(tmp_path / "mine")
    (folder / "documents.parquet").unlink()
    collect.gather([folder], tmp_path / "out")
    assert set(pd.read_csv(tmp_path / "out" / "curves.csv").run) == {"mine"}
    assert not (tmp_path / "out" / "documents.parquet").exists()
