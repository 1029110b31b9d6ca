"""`posext collect`: gather the measurements of several runs in one folder."""

import shutil
from pathlib import Path

import pandas as pd

from posext.analysis import curves, document_sums, retrieval
from posext.cli import app
from posext.utils.errors import PosextError

DESCRIPTION = """
Gather the measurements of several runs in one folder to commit: curves.csv, documents.parquet (the
sums by document, from which every interval can be made again), retrieval.csv if a retrieval task
was measured, and configs/RUN.yaml. Rows of other runs in that folder stay, so a study can be
collected in parts.
"""
EXAMPLES = """
posext collect results/runs/* --out results/my_study
"""


@app.script
def main() -> None:
    parser = app.subcommand_parser("collect", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="the folder of a measured run"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", required=True, help="the folder to write to"
    )
    options = parser.parse_args()
    rows = curves.of_runs(options.runs)
    for run in options.runs:
        if not (run / "config.yaml").is_file():
            raise PosextError(f"{run} is not the folder of a run: it has no config.yaml")
    named = [sums for run in options.runs if (sums := named_sums(run)) is not None]
    sums = pd.concat(named, ignore_index=True)
    (options.out / "configs").mkdir(parents=True, exist_ok=True)
    curves_file = options.out / "curves.csv"
    replace_runs(curves.read_curves(curves_file), rows).to_csv(curves_file, index=False)
    sums_file = options.out / document_sums.SUMS
    replace_runs(document_sums.sums(options.out), sums).to_parquet(sums_file, index=False)
    answers = retrieval.of_runs(options.runs, rows)
    if len(answers):
        file = options.out / retrieval.FILE
        before = retrieval.read_collected(file) if file.exists() else None
        replace_runs(before, answers).to_csv(file, index=False)
    for run in options.runs:
        shutil.copyfile(run / "config.yaml", options.out / "configs" / f"{run.name}.yaml")
    print(options.out)


def named_sums(run: Path) -> pd.DataFrame | None:
    """The sums of a run, with a column for its name; None for a run without sums."""
    sums = document_sums.sums(run)
    return None if sums is None else sums.assign(run=run.name)


def replace_runs(before: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the rows of the same runs in `before`, and sort all rows by run."""
    frames = [rows]
    if before is not None and len(before):
        frames.insert(0, before.loc[~before.run.isin(rows.run)])
    joined = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    return joined.sort_values("run", kind="stable")
