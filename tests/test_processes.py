"""Two processes are one with twice the hands: the same losses and the same curve, with the same tokens a step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from posext import curves


def launch(processes: int, *arguments: str) -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes), "--cpu"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    finished = subprocess.run(
        [*command, "-m", "posext.train", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def losses(name: str) -> list[tuple]:
    rows = [json.loads(line) for line in (Path("results/runs") / name / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["tokens"], row.get("loss", row.get("validation_loss"))) for row in rows]


def test_two_processes_train_and_measure_as_one(small):
    typed = ["+pe=yarn", *small, "length=progressive", "steps=10", "validate_every=5"]
    launch(1, *typed, "name=one")
    launch(2, *typed, "name=two")
    one, two = losses("one"), losses("two")
    assert [row[:2] for row in one] == [row[:2] for row in two]
    np.testing.assert_allclose([row[2] for row in one], [row[2] for row in two], rtol=2e-5)
    one, two = (curves.read(f"results/runs/{name}/curves.csv") for name in ("one", "two"))
    assert len(one) == len(two) > 0
    np.testing.assert_allclose(one.nll.to_numpy(float), two.nll.to_numpy(float), rtol=1e-4)
    np.testing.assert_array_equal(one.tokens, two.tokens)
