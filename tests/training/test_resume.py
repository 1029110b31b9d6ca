"""A run that was stopped and taken up again is the run that was not, bit for bit."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from posext import train
from posext.training import checkpoint


def stop_after(monkeypatch, step: int) -> None:
    """Interrupt training right after the checkpoint of a step was written."""
    save = checkpoint.save

    def saving(folder, done, *rest):
        save(folder, done, *rest)
        if done == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.checkpoint, "save", saving)


def rows(name: str) -> list[dict]:
    lines = (Path("results/runs") / name / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if k != "tokens_per_second"} for line in lines
    ]


@pytest.mark.parametrize(
    "change",
    [
        ["+pe=rope", "length=fixed"],
        ["+pe=yarn", "length=progressive"],  # stages end at 8, 9 and 10 steps
        [
            "+pe=learned",
            "length.stages=[{multiple:1,share:0.3},{multiple:2,share:0.7}]",
            "pe.max_length=32",
        ],
        ["+pe=alibi", "micro_batch_tokens=64", "precision=bf16"],
        pytest.param(
            ["+pe=t5", "length=progressive", "compile=true", "precision=bf16"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("stop", [5, 8])
def test_ten_steps_equal_some_then_a_resume_then_the_rest(
    command, small, monkeypatch, change, stop
):
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
    assert rows("resumed") == rows("straight")
    assert [row["step"] for row in rows("resumed") if "loss" in row] == list(range(1, 11))


def test_a_resumed_run_compiles_iff_the_whole_run_would(command, small, monkeypatch):
    """Compiled and plain code round differently, so the choice must not hang on the steps that are left."""
    asked = []
    monkeypatch.setattr(
        train.device, "should_compile", lambda *question: bool(asked.append(question))
    )
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
    assert asked == [("auto", 10)] * 2


def test_rows_after_the_checkpoint_are_written_again_not_twice(command, small, monkeypatch):
    typed = ["+pe=rope", *small, "steps=10", "checkpoint_every=3", "evaluate=false", "name=mine"]
    with monkeypatch.context() as patched:
        calls = iter(range(100))

        def interrupted(*arguments):
            if next(calls) == 8:  # nine steps, of which six are in a checkpoint
                raise KeyboardInterrupt
            return accumulate(*arguments)

        accumulate = train.accumulate
        patched.setattr(train, "accumulate", interrupted)
        assert command("train", *typed)[0] == 130
    with open("results/runs/mine/metrics.jsonl", "a") as file:
        file.write('{"step": 9, "lo')  # and a line cut short
    assert command("train", *typed)[0] == 0
    assert [row["step"] for row in rows("mine") if "loss" in row] == list(range(1, 11))


def test_only_the_last_two_checkpoints_stay_and_a_damaged_one_is_passed_over(
    command, small, monkeypatch, caplog
):
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
    assert [row["step"] for row in rows("mine") if "loss" in row] == list(range(1, 11))
    assert not Path("results/runs/mine/checkpoints").exists()  # a trained run needs none


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(
    command, small, monkeypatch
):
    typed = ["+pe=rope", *small, "steps=10", "checkpoint_every=2", "evaluate=false", "name=mine"]
    accumulate, calls = train.accumulate, iter(range(100))
    monkeypatch.setattr(
        train, "accumulate", lambda *a: float("nan") if next(calls) == 5 else accumulate(*a)
    )
    code, _, err = command("train", *typed)
    assert code == 1
    assert "loss nan" in err
    assert "at step 6, batch" in err
    assert "step-00000004" in err
