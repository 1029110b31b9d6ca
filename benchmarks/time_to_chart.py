"""Time from the command to its chart: a nano run of 300 steps with its curve, in parts."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report

from posext.analysis import curves
from posext.runs import tracking

COMMAND = [
    "-m",
    "posext.train",
    "+pe=rope",
    "model=nano",
    "steps=300",
    "evaluation.documents=16",
    "name=chart",
]


def benchmark(repeats: int) -> list[report.Row]:
    """Seconds to the chart, and of importing, training and measuring; the corpus is cached."""
    seconds_of: dict[str, list[float]] = {
        "command to chart": [],
        "training": [],
        "measuring": [],
        "importing": [],
    }
    for index in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import posext.train"], check=True)
            importing = time.perf_counter() - begin
            begin = time.perf_counter()
            subprocess.run([sys.executable, *COMMAND], cwd=folder, check=True, capture_output=True)
            whole = time.perf_counter() - begin
            run = Path(folder) / "results/runs/chart"
            steps = [row for row in tracking.read_metrics(run / "metrics.jsonl") if "loss" in row]
            training = sum(4096 / row["tokens_per_second"] for row in steps)
            measuring = curves.read_curves(run / "curves.csv").seconds.sum()
        if index:
            seconds_of["command to chart"].append(whole)
            seconds_of["training"].append(training)
            seconds_of["measuring"].append(measuring)
            seconds_of["importing"].append(importing)
    return [
        report.row("nano, 300 steps", name, seconds, "s") for name, seconds in seconds_of.items()
    ]


if __name__ == "__main__":
    report.run("time_to_chart", benchmark, repeats=5)
