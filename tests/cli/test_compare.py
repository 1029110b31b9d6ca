"""The tables that `posext compare` prints, here under its former name scripts/compare.py."""

import runpy
from pathlib import Path

import pytest
from helpers.stored_runs import write_run

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare.py"


@pytest.fixture
def compare(monkeypatch, capsys):
    """Run the script with some arguments, and return what it printed."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["compare.py", *arguments])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["one", "other"], "| alibi    | 16        | 0      | 64        | 0           | -0.8"),
        (
            ["one", "other"],
            "One seed: at this size (nano), training again with another seed moves the loss by",
        ),
        (["one", "other", "--at-train"], "a verdict is of that run's weights alone"),
        (["one", "other", "--at-train"], "survives"),
        (["one", "other", "--at-train"], "| effective "),
    ],
)
def test_compare_prints_tables_and_caveats(arguments, expected, tmp_path, compare):
    write_run(write_run(tmp_path / "one", model="nano"), protocol="nonoverlap", model="nano")
    write_run(tmp_path / "other", "alibi", model="nano")
    assert expected in compare(*arguments)


@pytest.mark.parametrize("arguments", [["one", "other"], ["one", "--at-train"]])
def test_compare_prints_no_interval_for_one_document(arguments, tmp_path, compare):
    write_run(tmp_path / "one", documents=[3])
    write_run(tmp_path / "other", "alibi", documents=[3])
    out = compare(*arguments)
    assert "no interval" in out
    assert "nan" not in out
