"""How far the runs of a folder are: posext status results/runs

done: measured, or trained where nothing is to be measured. running: a process holds the run. failed: it said why in
error.txt. left: begun, and nothing runs; the command that began it continues it.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from posext.analysis import curves
from posext.eval.cache import MEASURING
from posext.runs import tracking
from posext.runs.run import Run, load_run
from posext.utils.errors import PosextError

STATES = ("done", "running", "failed", "left")


def state(run: Run) -> str:
    begun = (run.folder / MEASURING).exists()
    if ((run.folder / "curves.csv").exists() and not begun) or (
        run.trained and not run.config.evaluate
    ):
        return "done"
    if held(run.folder / "run.lock"):
        return "running"
    return "failed" if (run.folder / "error.txt").exists() else "left"


def held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def row(folder: Path) -> dict[str, Any]:
    """A run of the table; a folder whose config cannot be read is a failed run."""
    try:
        run = load_run(folder)
    except PosextError as error:
        return {"run": folder.name, "state": "failed", "note": str(error)}
    trained = [row for row in tracking.read(folder / "metrics.jsonl") if "loss" in row]
    last = trained[-1] if trained else {"step": 0, "loss": None}
    now, error = state(run), folder / "error.txt"
    return {
        "run": folder.name,
        "state": now,
        "steps": f"{last['step']}/{run.config.steps}",
        "loss": last["loss"],
        "loss at the longest context": curves.objective(folder / "curves.csv"),
        "note": error.read_text().strip() if now == "failed" and error.exists() else "",
    }


def status(results: Path) -> pd.DataFrame:
    """A row for every run, the unfinished first."""
    rows = pd.DataFrame([row(file.parent) for file in sorted(results.glob("*/config.yaml"))])
    return (
        rows.sort_values("state", key=lambda s: -s.map(STATES.index), kind="stable")
        if len(rows)
        else rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="How far the runs of a folder are.")
    parser.add_argument("results", type=Path, nargs="?", default=Path("results/runs"))
    table = status(parser.parse_args().results)
    if len(table):
        print(table.to_markdown(index=False, floatfmt=".3f", missingval=""))
    counts = Counter(table.state if len(table) else [])
    print("\n" + ", ".join(f"{counts[name]} {name}" for name in STATES))
