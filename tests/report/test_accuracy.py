"""The chart and the page of accuracies that are known."""

from pathlib import Path

import pandas as pd
from helpers.pages import charts

from posext.analysis.accuracy import COLUMNS, FILE, with_intervals
from posext.report import accuracy
from posext.report.accuracy_plot import draw_accuracy
from posext.report.page import write_page


def test_write_page_has_a_gap_where_a_guess_makes_no_error(tmp_path, monkeypatch):
    """Sorting of all the numbers that there are has an exact match, but no normalized accuracy."""
    monkeypatch.chdir(tmp_path)
    counts = {"examples": 100, "exact": 50, "symbols": 400, "right": 300, "effective_symbols": 200}
    named = {"study": "s", "run": "r", "scheme": "rope", "task": "sorting", "trained_length": 10}
    rows = pd.DataFrame([{"length": length, "chance": length / 160} for length in (40, 160)])
    rows = with_intervals(rows.assign(extend="", factor="", seed=0, **named, **counts))
    rows.reindex(columns=COLUMNS).to_csv(FILE, index=False)
    (chart,) = charts(write_page([Path()], Path("report.html")).read_text())
    exact, normalized = (view["traces"][1]["y"] for view in chart["views"])
    assert (exact, normalized) == ([0.5, 0.5], [(0.75 - 0.25) / 0.75, None])
    assert chart["views"][1]["range"] == [0, 1]
    draw_accuracy(rows.loc[rows.chance == 1], Path("chart.png"))
    assert Path("chart.png").stat().st_size


def test_read_accuracies_reads_no_file_beside_the_paths(tmp_path):
    """The folder that the command is typed in may hold a file of that name."""
    Path("accuracy.csv").write_text("another,table\n1,2\n")
    (tmp_path / "run").mkdir()
    rows = accuracy.read_accuracies([tmp_path / "run"])
    assert list(rows) == COLUMNS
    assert not len(rows)
