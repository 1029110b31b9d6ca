"""The table of states says of every run whether it is done, running, failed or left."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "status.py"
RUNS = Path("results/runs")


def table() -> dict[str, str]:
    """What the script prints of each run, and its last line under "all"."""
    said = subprocess.run(
        [sys.executable, SCRIPT, RUNS], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {line.split("|")[1].strip(): line for line in said if line.startswith("| ")} | {
        "all": said[-1]
    }


def test_done_running_failed_and_left_are_told_apart(command, small):
    for name, typed in {"measured": [], "trained": ["evaluate=false"]}.items():
        assert command("train", "+pe=none", *small, f"name={name}", *typed)[0] == 0
    config = (RUNS / "measured/config.yaml").read_text()
    for name in ("held", "stopped", "broken"):
        (RUNS / name).mkdir()
        (RUNS / name / "config.yaml").write_text(config)
    (RUNS / "stopped/metrics.jsonl").write_text('{"step": 3, "loss": 2.5}\n')
    (RUNS / "stopped/run.lock").touch()  # of a process that is no more
    (RUNS / "broken/error.txt").write_text("loss nan at step 6\n")
    with FileLock(RUNS / "held/run.lock"):
        said = table()
    states = {
        "measured": "done",
        "trained": "done",
        "held": "running",
        "stopped": "left",
        "broken": "failed",
    }
    for name, state in states.items():
        assert f"| {state} " in said[name]
    assert "3/6" in said["stopped"]
    assert "2.5" in said["stopped"]
    assert "loss nan at step 6" in said["broken"]
    assert said["all"] == "2 done, 1 running, 1 failed, 1 left"


def test_a_folder_without_runs_has_none():
    assert table() == {"all": "0 done, 0 running, 0 failed, 0 left"}
