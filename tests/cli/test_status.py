"""The state of every run, as `posext status` prints it under its former name scripts/status.py."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "status.py"
RUNS = Path("results/runs")


def status() -> dict[str, str]:
    """Return the printed line of each run, and the last line under "all"."""
    lines = subprocess.run(
        [sys.executable, SCRIPT, RUNS], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    of_runs = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    return of_runs | {"all": lines[-1]}


def test_status_tells_done_running_failed_and_left_apart(command, small):
    for name, settings in {"measured": [], "trained": ["evaluate=false"]}.items():
        assert command("train", "+pe=none", *small, f"name={name}", *settings)[0] == 0
    config = (RUNS / "measured/config.yaml").read_text()
    for name in ("held", "stopped", "broken"):
        (RUNS / name).mkdir()
        (RUNS / name / "config.yaml").write_text(config)
    (RUNS / "stopped/metrics.jsonl").write_text('{"step": 3, "loss": 2.5}\n')
    (RUNS / "stopped/run.lock").touch()  # of a process that has ended
    (RUNS / "broken/error.txt").write_text("loss nan at step 6\n")
    (RUNS / "my_study/in_it").mkdir(parents=True)
    (RUNS / "my_study/in_it/config.yaml").write_text(config)
    with FileLock(RUNS / "held/run.lock"):
        lines = status()
    states = {
        "measured": "done",
        "trained": "done",
        "held": "running",
        "stopped": "left",
        "broken": "failed",
        "my_study/in_it": "left",
    }
    for name, state in states.items():
        assert f"| {state} " in lines[name]
    assert "3/6" in lines["stopped"]
    assert "2.5" in lines["stopped"]
    assert "loss nan at step 6" in lines["broken"]
    assert lines["all"] == "2 done, 1 running, 1 failed, 2 left"


def test_status_of_a_folder_without_runs():
    assert status() == {"all": "0 done, 0 running, 0 failed, 0 left"}
