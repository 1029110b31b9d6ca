"""The page's section about algorithmic tasks."""

from pathlib import Path

from posext.analysis.accuracy import COLUMNS
from posext.report import accuracy


def test_read_accuracies_reads_no_file_beside_the_paths(tmp_path):
    """The folder that the command is typed in may hold a file of that name."""
    Path("accuracy.csv").write_text("another,table\n1,2\n")
    (tmp_path / "run").mkdir()
    rows = accuracy.read_accuracies([tmp_path / "run"])
    assert list(rows) == COLUMNS
    assert not len(rows)
