"""Mirrors of a run's files: tags and artifacts on wandb, events of TensorBoard."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import wandb_records

from posext.analysis import curves
from posext.config import settings
from posext.runs.tracking import Metrics, read_metrics, wandb_id

RUN = Path("results/runs/mine")
needs_tensorboard = pytest.mark.skipif(
    find_spec("tensorboard") is None, reason="tensorboard is an extra"
)


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The steps and values of TensorBoard's events, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = EventAccumulator(str(folder), {"tensors": 0})
    accumulator.Reload()
    return {
        tag: [
            (event.step, float(make_ndarray(event.tensor_proto)))
            for event in accumulator.Tensors(tag)
        ]
        for tag in accumulator.Tags()["tensors"]
    }


def test_wandb_has_the_tags_curves_page_and_weights_of_a_run(command, small):
    offline = [each for each in small if not each.startswith("tracking.")]
    chosen = ["tracking.weights=true", "tags=[first,second]", "name=mine", "steps=2"]
    code, _, err = command("train", "+pe=rope", *offline, *chosen)
    assert code == 0, err
    assert "wandb failed" not in err
    (record,) = RUN.glob("wandb/offline-run-*/*.wandb")
    assert wandb_records.tags(record) == ["first", "second"]
    logged = wandb_records.artifacts(record)
    assert {name: set(files) for name, files in logged.items()} == {
        "mine-curves": {"curves.csv", "report.html"},
        "mine-model": {"model.safetensors", "config.yaml", "tokenizer.json", "run.json"},
    }
    for files in logged.values():
        for name, copy in files.items():
            assert copy.resolve().is_relative_to(RUN.resolve())
            assert copy.read_bytes() == (RUN / name).read_bytes()
    assert logged["mine-model"]["model.safetensors"].samefile(RUN / "model.safetensors")


def test_tags_are_stored_and_are_no_part_of_what_a_run_is(command, small):
    settings = ["+pe=rope", *small, "evaluate=false"]
    assert command("train", *settings, "tags=[one]")[0] == 0
    (folder,) = Path("results/runs").iterdir()
    assert "tags:\n- one\n" in (folder / "config.yaml").read_text()
    code, out, err = command("train", *settings, "tags=[two]")
    assert (code, "done already" in out) == (0, True), err


def test_tags_of_a_length_that_wandb_refuses_are_refused(command, small):
    code, _, err = command("train", "+pe=rope", *small, f"tags=[{'x' * 65}]")
    assert code == 2
    assert "tags must be a list, each a text of 1 to 64 characters" in err


def test_wandb_id_is_the_one_that_the_agent_of_a_sweep_waits_for(monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    assert wandb_id("n" * 200) == "n" * 128
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    assert wandb_id("name") == "chosen"


@needs_tensorboard
def test_tensorboard_has_the_numbers_of_metrics_and_of_the_curve(command, small):
    code, _, err = command("train", "+pe=rope", *small, "tracking.tensorboard=true", "name=mine")
    assert code == 0, err
    shown = events(RUN / "tensorboard" / "training")
    rows = read_metrics(RUN / "metrics.jsonl")
    for key, tag in (("loss", "train/loss"), ("validation_loss", "validation/validation_loss")):
        assert shown[tag] == [(row["step"], row[key]) for row in rows if key in row]
    assert {"train/learning_rate", "train/grad_norm", "train/tokens_per_second"} <= set(shown)
    measured = curves.read_curves(RUN / "curves.csv")
    curve = events(RUN / "tensorboard" / "curve")
    assert curve["eval/nll"] == list(zip(measured.context_length, measured.nll, strict=True))


@needs_tensorboard
def test_metrics_make_events_again_from_the_rows_that_a_resumed_run_keeps(tmp_path):
    file = tmp_path / "metrics.jsonl"
    first = Metrics(file, 0, tmp_path / "events")
    for step in (1, 2, 3):
        first.write({"step": step, "tokens": 10 * step, "loss": 1 / step})
    first.close()
    resumed = Metrics(file, 2, tmp_path / "events")
    resumed.write({"step": 3, "tokens": 30, "loss": 0.1})
    resumed.close()
    assert events(tmp_path / "events") == {"train/loss": [(1, 1.0), (2, 0.5), (3, 0.1)]}
    assert [json.loads(line)["loss"] for line in file.read_text().splitlines()] == [1.0, 0.5, 0.1]


def test_tensorboard_is_refused_in_one_sentence_where_it_is_missing(command, small, monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    code, _, err = command("train", "+pe=rope", *small, "tracking.tensorboard=true")
    assert code == 2
    assert err.strip().endswith("needs tensorboard: pip install 'posext[tensorboard]' has it")
    assert not Path("results").exists()
