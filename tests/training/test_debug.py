"""debug=: what its choices make of a run, and leave in its folder."""

import json
from pathlib import Path

import pytest

from posext.runs.tracking import read_metrics

NOT_TYPED = ("steps=", "train_length=", "tokens_per_step=", "tracking.", "compile=", "evaluation.")


@pytest.fixture
def settings(small):
    """The settings of `small` without those that debug= sets, for a run named mine."""
    kept = [setting for setting in small if not setting.startswith(NOT_TYPED)]
    return ["+pe=rope", *kept, "name=mine"]


RUN = Path("results/runs/mine")


def test_debug_overfit_reaches_a_loss_of_almost_nothing(command, settings):
    size = ["model.d_model=64", "train_length=32", "tokens_per_step=32", "steps=100"]
    code, _, err = command("train", *settings, "debug=overfit", *size)
    assert code == 0, err
    losses = [row["loss"] for row in read_metrics(RUN / "metrics.jsonl") if "loss" in row]
    assert losses[0] > 4
    assert losses[-1] < 0.1


def test_debug_limit_takes_three_steps_and_measures(command, settings):
    code, _, err = command("train", *settings, "debug=limit", "train_length=16")
    assert code == 0, err
    rows = read_metrics(RUN / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3]
    assert [row["step"] for row in rows if "validation_loss" in row] == [1, 2, 3]
    assert (RUN / "curves.csv").is_file()
    assert not (RUN / "wandb").exists()


def test_debug_profiler_leaves_traces_of_its_steps(command, settings):
    code, _, err = command(
        "train",
        *settings,
        "debug=profiler",
        "train_length=16",
        "compile=false",
        "tokens_per_step=64",
    )
    assert code == 0, err
    assert {path.name for path in (RUN / "trace").iterdir()} == {
        "step-5.json",
        "step-5.txt",
        "step-6.json",
        "step-6.txt",
    }
    events = json.loads((RUN / "trace" / "step-5.json").read_text())["traceEvents"]
    assert any(event.get("name") == "aten::linear" for event in events)
    assert "Self CPU" in (RUN / "trace" / "step-6.txt").read_text()
