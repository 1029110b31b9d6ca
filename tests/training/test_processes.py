"""Two processes are one with twice the hands: the same losses and the same curve, with the same tokens a step."""

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


def launch_two(how: list[str], what: list[str], *arguments: str) -> int:
    """The exit code of two processes; what they said is shown where a test fails."""
    command = [sys.executable, "-m", "accelerate.commands.launch", *how]
    finished = subprocess.run(
        [*command, "--num_processes", "2", "--main_process_port", "0", *what, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        check=False,
    )
    print(finished.stdout + finished.stderr)
    return finished.returncode


def losses(name: str) -> list[tuple]:
    rows = [
        json.loads(line)
        for line in (Path("results/runs") / name / "metrics.jsonl").read_text().splitlines()
    ]
    return [
        (row["step"], row["tokens"], row.get("loss", row.get("validation_loss"))) for row in rows
    ]


def assert_same_run(one: str, other: str) -> None:
    """Each step once, the same losses, the same targets scored and the same curve, to what the order of sums leaves."""
    assert [row[:2] for row in losses(one)] == [row[:2] for row in losses(other)]
    np.testing.assert_allclose(
        [row[2] for row in losses(one)], [row[2] for row in losses(other)], rtol=2e-5
    )
    first, second = (curves.read_curves(f"results/runs/{name}/curves.csv") for name in (one, other))
    assert len(first) == len(second) > 0
    np.testing.assert_allclose(first.nll.to_numpy(float), second.nll.to_numpy(float), rtol=1e-4)
    np.testing.assert_array_equal(first.tokens, second.tokens)


@pytest.fixture
def stopped(command, monkeypatch):
    """Train in this process, and be interrupted after the checkpoint of a step."""

    def run(step: int, *typed: str) -> None:
        save = checkpoint.save

        def saving(folder, done, *rest):
            save(folder, done, *rest)
            if done == step:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(checkpoint, "save", saving)
            assert command("train", *typed)[0] == 130

    return run


def test_two_processes_train_and_measure_as_one_from_the_start_or_from_a_checkpoint(
    command, small, stopped
):
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


def test_two_processes_measure_the_same_weights_to_the_last_sum(command, small):
    assert command("train", "+pe=t5", *small, "name=mine", "evaluation.tokens_per_batch=1")[0] == 0
    stored = Path("results/runs/mine/documents.parquet")
    alone = pd.read_parquet(stored)
    measure = ["-m", "posext.evaluate", "run=results/runs/mine", "tracking.wandb=disabled"]
    assert launch_two(DDP, measure) == 0
    pd.testing.assert_frame_equal(alone, pd.read_parquet(stored), check_exact=True)


@pytest.mark.slow
def test_shared_out_weights_are_saved_whole_and_taken_up_whole(command, small, stopped):
    typed = ["+pe=fire", *small, "steps=10", "validate_every=5", "checkpoint_every=4"]
    assert command("train", *typed, "name=one")[0] == 0
    assert launch_two(FSDP, FSDP_ON_CPU, *typed, "name=shared") == 0
    assert launch_two(FSDP, FSDP_ON_CPU, "stop-after=4", *typed, "name=first_shared_then_one") != 0
    assert command("train", *typed, "name=first_shared_then_one")[0] == 0
    stopped(8, *typed, "name=first_one_then_shared")
    assert launch_two(FSDP, FSDP_ON_CPU, *typed, "name=first_one_then_shared") == 0
    for name in ("shared", "first_shared_then_one", "first_one_then_shared"):
        assert_same_run("one", name)
