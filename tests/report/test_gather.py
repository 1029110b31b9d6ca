"""What a page takes from paths of runs and studies."""

from pathlib import Path

import pytest
from helpers.pages import rows_of

from posext.report import gather
from posext.utils.errors import PosextError

LOSSES = [3.0, 2.5, 2.6, 2.7]


def write_curves(folder: Path, losses: list[float] = LOSSES, run: str = "mine") -> Path:
    """Write a curves.csv of one curve into a new folder."""
    folder.mkdir()
    rows_of("rope", losses, run=run).to_csv(folder / "curves.csv", index=False)
    return folder


def test_read_sources_refuses_two_runs_of_one_name(tmp_path):
    one = write_curves(tmp_path / "one")
    other = write_curves(tmp_path / "other", losses=[3.0, 2.5, 2.6, 2.8])
    message = f"{one} and {other} have different curves of a run named mine"
    with pytest.raises(PosextError, match=message):
        gather.read_sources([one, other])


def test_read_sources_takes_a_run_once(tmp_path):
    """The folder may be named twice, and a study may have the run too."""
    one = write_curves(tmp_path / "one")
    study = write_curves(tmp_path / "study")
    assert [source.path for source in gather.read_sources([one, one, study])] == [one]


def test_read_sources_passes_over_what_is_not_measured_with_a_warning(tmp_path, caplog):
    one = write_curves(tmp_path / "one")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert [source.path for source in gather.read_sources([one, empty])] == [one]
    assert f"{empty} holds no curves yet" in caplog.text


def test_read_sources_refuses_what_is_absent_or_damaged(tmp_path):
    one = write_curves(tmp_path / "one")
    other = tmp_path / "other"
    with pytest.raises(PosextError, match="other is neither the folder of a run"):
        gather.read_sources([one, other])
    write_curves(other)
    (other / "curves.csv").write_text("neither,of,them\n1,2,3\n")
    with pytest.raises(PosextError, match="is no file of curves"):
        gather.read_sources([one, other])
