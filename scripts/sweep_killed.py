"""A joblib sweep of small runs, killed once in the middle and started again.

    python scripts/sweep_killed.py --runs 60

Exits with code 0 and prints the table of states if every run is complete, no run was done twice and
no process is left.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from posext.cli.status import status
from posext.runs import tracking
from posext.runs.run import load_run

# An environment variable that marks every process of the sweep, whichever its parent.
MARK = "POSEXT_SWEEP_KILLED"
SCHEMES = ("rope", "alibi", "yarn")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="A joblib sweep, killed once in the middle and started again."
    )
    parser.add_argument(
        "--runs", type=int, default=60, help=f"number of runs, a multiple of {len(SCHEMES)}"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results/runs/sweep_killed"),
        help="a new folder for the runs",
    )
    arguments, overrides = parser.parse_known_args()
    seeds, rest = divmod(arguments.runs, len(SCHEMES))
    if rest or not seeds:
        sys.exit(f"--runs must be a multiple of {len(SCHEMES)} above 0, not {arguments.runs}")
    if arguments.results.exists():
        sys.exit(f"{arguments.results} exists already; choose another --results")
    command = [sys.executable, "-m", "posext.train", "-m", "hydra/launcher=joblib"]
    command += [
        f"hydra.launcher.n_jobs={arguments.jobs}",
        f"results={arguments.results}",
        "experiment=smoke",
    ]
    command += [
        f"+pe={','.join(SCHEMES)}",
        f"seed=range({seeds})",
        "tracking.wandb=disabled",
        *overrides,
    ]

    first_start = start(command)
    while first_start.poll() is None and len(finished(arguments.results)) < arguments.runs // 2:
        time.sleep(0.2)
    check(first_start.poll() is None, f"the sweep ended by itself with code {first_start.poll()}")
    os.killpg(first_start.pid, signal.SIGKILL)
    first_start.wait()
    wait_for_none()
    before = finished(arguments.results)
    print(f"killed with {len(before)} of {arguments.runs} runs done", flush=True)

    code = start(command).wait()
    check(code == 0, f"the second start ended with code {code}")
    wait_for_none()
    after = finished(arguments.results)
    check(len(after) == arguments.runs, f"{len(after)} of {arguments.runs} runs are done")
    check(before.items() <= after.items(), "a run that was done was trained again")
    table = status(arguments.results)
    check(len(table) == arguments.runs, f"{len(table)} folders for {arguments.runs} runs")
    check(set(table.state) == {"done"}, "not every run is done")
    for folder in map(Path.resolve, after):
        steps = [
            row["step"] for row in tracking.read_metrics(folder / "metrics.jsonl") if "loss" in row
        ]
        check(
            steps == list(range(1, load_run(folder).config.steps + 1)),
            f"{folder} has gaps or doubles in its metrics",
        )
    print(table.to_markdown(index=False, floatfmt=".3f", missingval=""))
    print(
        f"\n{len(after)} runs complete, {len(before)} of them from before the kill; "
        "no doubles, no process left"
    )


def start(command: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        command, env=os.environ | {MARK: str(os.getpid())}, start_new_session=True
    )


def finished(results: Path) -> dict[Path, int]:
    """The runs that have curves, with the time (ns) at which their weights were written."""
    return {
        file.parent: (file.parent / "model.safetensors").stat().st_mtime_ns
        for file in results.glob("*/curves.csv")
    }


def sweep_processes() -> list[psutil.Process]:
    """The running processes of the sweep."""
    processes = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(MARK) == str(os.getpid())
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def wait_for_none(seconds: float = 30) -> None:
    """Wait until no process of the sweep runs; exit with a message after `seconds`."""
    end = time.monotonic() + seconds
    while (processes := sweep_processes()) and time.monotonic() < end:
        time.sleep(0.2)
    check(not processes, f"processes left over: {processes}")


def check(holds: bool, otherwise: str) -> None:
    """Exit with the message `otherwise` unless a condition holds."""
    if not holds:
        sys.exit(otherwise)


if __name__ == "__main__":
    main()
