"""Two processes against one: equal losses and curves, with equal tokens a step."""

from pathlib import Path

import pandas as pd
import pytest
from helpers.processes import DDP, FSDP, FSDP_ON_CPU, TRAIN, assert_same_run, launch_two

from posext.training import checkpoint


@pytest.fixture
def stopped(command, monkeypatch):
    """Train in this process until the checkpoint of a step."""

    def run(last_step: int, *typed: str) -> None:
        save = checkpoint.save

        def save_and_stop(folder, step, *rest):
            save(folder, step, *rest)
            if step == last_step:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(checkpoint, "save", save_and_stop)
            assert command("train", *typed)[0] == 130

    return run


def test_two_processes_train_and_measure_as_one(command, small, stopped):
    """They do so from the start, and from a checkpoint of one process."""
    typed = [
        "+pe=yarn",
        *small,
        "length=progressive",
        "steps=10",
        "validate_every=5",
        "checkpoint_every=4",
    ]
    assert command("train", *typed, "name=one")[0] == 0
    assert launch_two(DDP, TRAIN, *typed, "name=two") == 0
    stopped(4, *typed, "name=first_one_then_two")
    assert launch_two(DDP, TRAIN, *typed, "name=first_one_then_two") == 0
    assert_same_run("one", "two")
    assert_same_run("one", "first_one_then_two")


def test_two_processes_measure_the_same_sums_as_one(command, small):
    assert command("train", "+pe=t5", *small, "name=mine", "evaluation.tokens_per_batch=1")[0] == 0
    stored = Path("results/runs/mine/documents.parquet")
    alone = pd.read_parquet(stored)
    measure = ["-m", "posext.evaluate", "run=results/runs/mine", "tracking.wandb=disabled"]
    assert launch_two(DDP, measure) == 0
    pd.testing.assert_frame_equal(alone, pd.read_parquet(stored), check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_fsdp_checkpoints_are_whole_and_resume_anywhere(command, small, stopped, optimizer):
    """Weights sharded by FSDP and those of one process go on from each other's checkpoints."""
    typed = ["+pe=fire", *small, "steps=10", "validate_every=5", "checkpoint_every=4"]
    typed.append(f"optimizer={optimizer}")
    assert command("train", *typed, "name=one")[0] == 0
    assert launch_two(FSDP, FSDP_ON_CPU, *typed, "name=shared") == 0
    assert launch_two(FSDP, FSDP_ON_CPU, "stop-after=4", *typed, "name=first_shared_then_one") != 0
    assert command("train", *typed, "name=first_shared_then_one")[0] == 0
    stopped(8, *typed, "name=first_one_then_shared")
    assert launch_two(FSDP, FSDP_ON_CPU, *typed, "name=first_one_then_shared") == 0
    for name in ("shared", "first_shared_then_one", "first_one_then_shared"):
        assert_same_run("one", name)


def test_two_processes_continue_a_run_as_one(command, small):
    """With a new optimizer and scheme, and with the parent's."""
    settings = ["+pe=rope", *small, "steps=8", "keep_every=4", "evaluate=false", "name=base"]
    assert command("train", *settings)[0] == 0
    own = ["compile=false", "precision=fp32", "tracking.wandb=disabled", "checkpoint_every=2"]
    new = ["init=results/runs/base", "+pe=fox", "train_length=32", "steps=4"]
    same = ["init=results/runs/base", "init.checkpoint=4", "init.optimizer=true"]
    for name, typed in (("new", new), ("same", same)):
        assert command("train", *typed, *own, f"name={name}-one")[0] == 0
        assert launch_two(DDP, TRAIN, *typed, *own, f"name={name}-two") == 0
        assert_same_run(f"{name}-one", f"{name}-two")


@pytest.mark.slow
def test_fsdp_continues_a_run_and_keeps_checkpoints_as_one_process(command, small):
    settings = [*small, "steps=8", "keep_every=4", "evaluate=false"]
    assert command("train", "+pe=rope", *settings, "name=base")[0] == 0
    assert launch_two(FSDP, FSDP_ON_CPU, "+pe=rope", *settings, "name=shared") == 0
    own = ["compile=false", "precision=fp32", "tracking.wandb=disabled"]
    for parent in ("base", "shared"):
        typed = [f"init=results/runs/{parent}", "init.checkpoint=4", "init.optimizer=true", *own]
        assert command("train", *typed, f"name={parent}-one")[0] == 0
        assert launch_two(FSDP, FSDP_ON_CPU, *typed, f"name={parent}-two") == 0
        assert_same_run(f"{parent}-one", f"{parent}-two")
