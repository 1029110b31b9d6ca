"""`posext status`: print the state of every run in a folder."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from posext.analysis import accuracy, curves
from posext.cli import app
from posext.eval.cache import MEASURING
from posext.runs import tracking
from posext.runs.run import Run, load_run
from posext.utils.errors import PosextError

STATES = ("done", "running", "failed", "left")
DESCRIPTION = """
Print a table of all runs in a folder and in its studies, the unfinished first. The states are:
  done     measured, or trained with evaluate=false
  running  a process holds the run's lock
  failed   the run wrote its error into error.txt
  left     begun, but no process works on it; the command that began it continues it
"""
EXAMPLES = """
posext status
posext status results/runs/my_sweep
"""


def status(results: Path) -> pd.DataFrame:
    """A row for every run in a folder, or in a study's folder in it; the unfinished first."""
    configs = [*results.glob("*/config.yaml"), *results.glob("*/*/config.yaml")]
    rows = pd.DataFrame([status_row(file.parent, results) for file in sorted(configs)])
    if not len(rows):
        return rows
    return rows.sort_values("state", key=lambda s: -s.map(STATES.index), kind="stable")


def status_row(folder: Path, results: Path) -> dict[str, Any]:
    """The row of one run; a folder whose config cannot be read is a failed run."""
    name = str(folder.relative_to(results))
    try:
        run = load_run(folder)
    except PosextError as error:
        return {"run": name, "state": "failed", "note": str(error)}
    steps = [
        metrics for metrics in tracking.read_metrics(folder / "metrics.jsonl") if "loss" in metrics
    ]
    last = steps[-1] if steps else {"step": 0, "loss": None}
    state = run_state(run)
    error_file = folder / "error.txt"
    has_error = state == "failed" and error_file.exists()
    return {
        "run": name,
        "state": state,
        "steps": f"{last['step']}/{run.config.steps}",
        "loss": last["loss"],
        "loss at the longest context": curves.objective(folder / "curves.csv"),
        "note": error_file.read_text().strip() if has_error else "",
    }


def run_state(run: Run) -> str:
    """One of STATES."""
    is_measuring = (run.folder / MEASURING).exists()
    has_results = any((run.folder / name).exists() for name in ("curves.csv", accuracy.FILE))
    is_measured = has_results and not is_measuring
    if is_measured or (run.trained and not run.config.evaluate):
        return "done"
    if is_locked(run.folder / "run.lock"):
        return "running"
    return "failed" if (run.folder / "error.txt").exists() else "left"


def is_locked(lock: Path) -> bool:
    """Whether a process holds a lock file."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


@app.script
def main() -> None:
    parser = app.subcommand_parser("status", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "results",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        default=Path("results/runs"),
        help="the folder that holds the run folders (default: results/runs)",
    )
    table = status(parser.parse_args().results)
    if len(table):
        print(table.to_markdown(index=False, floatfmt=".3f", missingval=""))
    counts = Counter(table.state if len(table) else [])
    print("\n" + ", ".join(f"{counts[name]} {name}" for name in STATES))
