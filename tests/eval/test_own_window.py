"""The control `own_window`: a run as trained, in a window of its training length."""

import logging
from pathlib import Path

import pytest

from posext.analysis import curves
from posext.analysis.completeness import is_measured
from posext.runs.run import load_run

MINE = Path("results/runs/mine")
OWN_WINDOW = ["steps=1", "name=mine", "evaluation.own_window=true"]


def test_own_window_is_the_run_up_to_its_training_length(command, small):
    """Up to that length a window of its size hides nothing; beyond it hides the far keys."""
    code, out, err = command("train", "+pe=rope", *small, *OWN_WINDOW)
    assert code == 0, err
    assert "rope → own_window" in out
    rows = curves.read_curves(MINE / "curves.csv")
    nll = rows.pivot_table("nll", "context_length", "extend")
    assert nll["own_window"].loc[:16].to_numpy() == pytest.approx(nll[""].loc[:16], abs=1e-6)
    assert (nll["own_window"] != nll[""]).loc[32:].all()
    assert rows.targets.nunique() == 1
    assert "<dt>Own window</dt>" in (MINE / "report.html").read_text()
    assert is_measured(load_run(MINE))


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        (["+pe=stick_breaking"], "a window needs attention weights that are a softmax of scores"),
        (["+pe=rope", "+window=sliding"], "it has a window already"),
    ],
    ids=["stick_breaking", "sliding"],
)
def test_own_window_is_left_out_where_there_is_none(command, small, caplog, choices, reason):
    with caplog.at_level(logging.WARNING):
        code, _, err = command("train", *choices, *small, *OWN_WINDOW)
    assert code == 0, err
    assert set(curves.read_curves(MINE / "curves.csv").extend) == {""}
    assert any(f"is not measured in its own window: {reason}" in each for each in caplog.messages)
