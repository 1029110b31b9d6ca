"""Start entry points in two processes, and compare what they leave with what one leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from posext.analysis import curves

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "accelerate"
DDP = ["--cpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
FSDP = ["--config_file", str(CONFIGS / "fsdp.yaml")]
TRAIN = ["-m", "posext.train"]
FSDP_ON_CPU = [str(Path(__file__).with_name("fsdp_on_cpu.py"))]


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
