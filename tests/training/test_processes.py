"""Two processes against one: equal losses and curves, with equal tokens a step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from posext.analysis import curves
from posext.training import checkpoint

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "accelerate"
DDP = ["--cpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
FSDP = ["--config_file", str(CONFIGS / "fsdp.yaml")]
TRAIN = ["-m", "posext.train"]
FSDP_ON_CPU = [str(Path(__file__).resolve().parents[1] / "helpers" / "fsdp_on_cpu.py")]


def launch_two(options: list[str], program: list[str], *arguments: str) -> int:
    """Run a program in two processes, print their output, and return the exit code."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", *options]
    finished = subprocess.run(
        [*launch, "--num_processes", "2", "--main_process_port", "0", *program, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        check=False,
    )
    print(finished.stdout + finished.stderr)
    return finished.returncode


def losses(name: str) -> list[tuple]:
    """(step, tokens, loss) of every row of a run's metrics."""
    lines = (Path("results/runs") / name / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        (row["step"], row["tokens"], row.get("loss", row.get("validation_loss"))) for row in rows
    ]


def assert_same_run(one: str, other: str) -> None:
    """Check steps and targets for equality, losses and curves up to the rounding of sums."""
    *steps, values = zip(*losses(one), strict=True)
    *other_steps, other_values = zip(*losses(other), strict=True)
    assert steps == other_steps
    np.testing.assert_allclose(values, other_values, rtol=2e-5)
    first, second = (curves.read_curves(f"results/runs/{name}/curves.csv") for name in (one, other))
    assert len(first) == len(second) > 0
    np.testing.assert_allclose(first.nll.to_numpy(float), second.nll.to_numpy(float), rtol=1e-4)
    np.testing.assert_array_equal(first.tokens, second.tokens)


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
