"""What `posext table` prints of runs that are stored."""

import pytest
from helpers.stored_runs import write_run

from posext.cli import table
from posext.utils.errors import PosextError


def test_table_prints_the_curves_of_one_protocol(tmp_path):
    folder = write_run(write_run(tmp_path / "mine"), protocol="nonoverlap")
    assert table.text([str(folder)]).count("rope") == 2
    of_one = table.text([str(folder), "--protocol", "nonoverlap"])
    assert "rope [nonoverlap]" in of_one
    assert of_one.count("rope") == 1


def test_table_refuses_a_protocol_that_was_not_measured(tmp_path):
    folder = write_run(tmp_path / "mine")
    with pytest.raises(PosextError, match="under sliding, but under fixed_target"):
        table.text([str(folder), "--protocol", "sliding"])
