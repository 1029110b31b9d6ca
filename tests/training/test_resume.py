"""A resumed run against an uninterrupted one, bit for bit."""

import json
from itertools import count
from pathlib import Path

import pytest
from safetensors.torch import load_file

from posext import train
from posext.training import checkpoint


def stop_after(monkeypatch, last_step: int) -> None:
    """Interrupt training right after the checkpoint of a step is written."""
    save = checkpoint.save

    def save_and_stop(folder, step, *rest):
        save(folder, step, *rest)
        if step == last_step:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.checkpoint, "save", save_and_stop)


def metrics(name: str) -> list[dict]:
    """The rows of a run's metrics, without their speed."""
    lines = (Path("results/runs") / name / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        for speed in ("tokens_per_second", "mfu"):
            row.pop(speed, None)
    return rows


def trained_steps(name: str) -> list[int]:
    """The steps in a run's metrics that have a training loss, in the order of the file."""
    return [row["step"] for row in metrics(name) if "loss" in row]


@pytest.mark.parametrize(
    "change",
    [
        ["+pe=rope", "length=fixed"],
        ["+pe=yarn", "length=progressive"],  # stages end at 8, 9 and 10 steps
        ["+pe=rope", "length=window"],  # windows of 2, 4, 8 and 16 tokens
        [
            "+pe=learned",
            "length.stages=[{multiple:1,share:0.3},{multiple:2,share:0.7}]",
            "pe.max_length=32",
        ],
        ["+pe=alibi", "micro_batch_tokens=64", "precision=bf16"],
        ["+pe=cable", "optimizer=muon"],
        ["+pe=none", "model.kind=gated_deltanet", "precision=bf16"],
        ["+pe=none", "model.kind=mamba2", "optimizer=muon"],
        pytest.param(
            ["+pe=t5", "length=progressive", "compile=true", "precision=bf16"],
            marks=[
                pytest.mark.slow,
                # of torch's own, while it traces
                pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
            ],
        ),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("stop", [5, 8])
def test_resumed_run_equals_an_uninterrupted_one(command, small, monkeypatch, change, stop):
    typed = [
        *small,
        *change,
        "steps=10",
        "checkpoint_every=1",
        "validate_every=4",
        "evaluate=false",
    ]
    assert command("train", *typed, "name=straight")[0] == 0
    with monkeypatch.context() as patched:
        stop_after(patched, stop)
        assert command("train", *typed, "name=resumed")[0] == 130
    assert not Path("results/runs/resumed/run.json").exists()
    assert command("train", *typed, "name=resumed")[0] == 0
    straight, resumed = (
        load_file(f"results/runs/{name}/model.safetensors") for name in ("straight", "resumed")
    )
    assert all(resumed[key].equal(value) for key, value in straight.items())
    assert metrics("resumed") == metrics("straight")
    assert trained_steps("resumed") == list(range(1, 11))


def test_resumed_run_on_a_task_equals_an_uninterrupted_one(command, small_task, monkeypatch):
    """Its examples and positions are functions of the step."""
    test_resumed_run_equals_an_uninterrupted_one(
        command,
        [*small_task, "data.task=addition"],
        monkeypatch,
        ["+pe=rope", "+position_ids=randomized", "micro_batch_tokens=64"],
        stop=5,
    )


def test_resumed_run_compiles_if_the_whole_run_would(command, small, monkeypatch):
    """Compiled and plain code round differently, so the steps that are left must not decide."""
    questions = []

    def should_compile(choice, steps):
        questions.append((choice, steps))
        return False

    monkeypatch.setattr(train.device, "should_compile", should_compile)
    typed = [
        "+pe=rope",
        *small,
        "compile=auto",
        "steps=10",
        "checkpoint_every=1",
        "evaluate=false",
        "name=mine",
    ]
    with monkeypatch.context() as patched:
        stop_after(patched, 7)
        command("train", *typed)
    command("train", *typed)
    assert questions == [("auto", 10)] * 2


def test_resume_rewrites_metrics_after_the_checkpoint(command, small, monkeypatch):
    typed = ["+pe=rope", *small, "steps=10", "checkpoint_every=3", "evaluate=false", "name=mine"]
    accumulate = train.accumulate
    step = count(1)

    def accumulate_until_step_9(*arguments):
        if next(step) == 9:  # of the eight before, six are in a checkpoint
            raise KeyboardInterrupt
        return accumulate(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(train, "accumulate", accumulate_until_step_9)
        assert command("train", *typed)[0] == 130
    with open("results/runs/mine/metrics.jsonl", "a") as file:
        file.write('{"step": 9, "lo')  # a line cut short
    assert command("train", *typed)[0] == 0
    assert trained_steps("mine") == list(range(1, 11))


def test_resume_skips_a_damaged_checkpoint(command, small, monkeypatch, caplog):
    """The last two checkpoints are kept while training, and none afterwards."""
    typed = ["+pe=rope", *small, "steps=10", "checkpoint_every=1", "evaluate=false", "name=mine"]
    with monkeypatch.context() as patched:
        stop_after(patched, 6)
        command("train", *typed)
    kept = sorted(Path("results/runs/mine/checkpoints").iterdir())
    assert [path.name for path in kept] == ["step-00000005", "step-00000006"]
    weights = kept[-1] / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert command("train", *typed)[0] == 0
    assert "step-00000006: its content does not match" in caplog.text
    assert trained_steps("mine") == list(range(1, 11))
    assert not Path("results/runs/mine/checkpoints").exists()  # a trained run needs none


def test_train_stops_at_a_loss_that_is_not_finite(command, small, monkeypatch):
    """It names the last checkpoint, which is from before that loss."""
    typed = ["+pe=rope", *small, "steps=10", "checkpoint_every=2", "evaluate=false", "name=mine"]
    accumulate = train.accumulate
    step = count(1)

    def nan_at_step_6(*arguments):
        return float("nan") if next(step) == 6 else accumulate(*arguments)

    monkeypatch.setattr(train, "accumulate", nan_at_step_6)
    code, _, err = command("train", *typed)
    assert code == 1
    assert "loss nan" in err
    assert "at step 6, batch" in err
    assert "step-00000004" in err
