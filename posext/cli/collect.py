"""`posext collect`: gather the measurements of several runs in one folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from posext.analysis import accuracy, attention, curves, document_sums, key_choice, retrieval
from posext.cli import app
from posext.utils.errors import PosextError

DESCRIPTION = """
Gather the measurements of several runs in one folder to commit: curves.csv, documents.parquet (the
sums by document, from which every interval can be made again), keys.csv where a judge chose key
tokens, retrieval.csv, attention.csv and accuracy.csv of runs that have them, and configs/RUN.yaml.
Rows of other runs in that folder stay, so a study can be collected in parts.
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
    on_tasks = [run for run in options.runs if (run / accuracy.FILE).is_file()]
    on_texts = [run for run in options.runs if run not in on_tasks]
    rows = curves.of_runs(on_texts) if on_texts else None
    for run in options.runs:
        if not (run / "config.yaml").is_file():
            raise PosextError(f"{run} is not the folder of a run: it has no config.yaml")
    (options.out / "configs").mkdir(parents=True, exist_ok=True)
    if rows is not None:
        collect_curves(on_texts, rows, options.out)
        collect_retrieval(on_texts, rows, options.out)
        collect_attention(on_texts, options.out)
    if on_tasks:
        file = options.out / accuracy.FILE
        rows = replace_runs(accuracy.read_accuracy(file), accuracy.of_runs(on_tasks))
        rows.to_csv(file, index=False)
    for run in options.runs:
        shutil.copyfile(run / "config.yaml", options.out / "configs" / f"{run.name}.yaml")
    print(options.out)


def collect_curves(runs: Sequence[Path], rows: pd.DataFrame, out: Path) -> None:
    """Write the curves of some runs, their sums and the counts of their keys into a folder."""
    named = [sums for run in runs if (sums := named_sums(run)) is not None]
    sums = pd.concat(named, ignore_index=True)
    curves_file = out / "curves.csv"
    replace_runs(curves.read_curves(curves_file), rows).to_csv(curves_file, index=False)
    sums_file = out / document_sums.SUMS
    replace_runs(document_sums.sums(out), sums).to_parquet(sums_file, index=False)
    keys_file = out / key_choice.FILE
    keys = pd.concat([key_choice.read_key_counts(run / key_choice.FILE) for run in runs])
    if len(keys):
        replace_runs(key_choice.read_key_counts(keys_file), keys).to_csv(keys_file, index=False)


def collect_retrieval(runs: Sequence[Path], rows: pd.DataFrame, out: Path) -> None:
    """Write the answers of some runs into a folder, if any was asked; `rows` are their curves."""
    answers = retrieval.of_runs(runs, rows)
    if len(answers):
        file = out / retrieval.FILE
        before = retrieval.read_collected(file) if file.exists() else None
        replace_runs(before, answers).to_csv(file, index=False)


def collect_attention(runs: Sequence[Path], out: Path) -> None:
    """Write what the heads of some runs look at into a folder, if any was measured."""
    looks = [attention.read_attention(run / attention.FILE) for run in runs]
    measured = [rows for rows in looks if len(rows)]
    if measured:
        file = out / attention.FILE
        joined = pd.concat(measured, ignore_index=True)
        attention.write_attention(replace_runs(attention.read_attention(file), joined), file)


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
