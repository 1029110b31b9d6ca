"""Put what several runs measured into one folder to commit: posext collect results/runs/* --out results/STUDY

Writes curves.csv (all rows), documents.parquet (all sums by document, from which every interval can be made again) and
configs/RUN.yaml (as resolved); figures and tables come from the scripts for them. What the folder holds of other runs stays, so
that a study can be made in parts.
"""

import shutil
from pathlib import Path

import pandas as pd

from posext.analysis import curves, document_sums
from posext.cli import app
from posext.utils.errors import PosextError


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table = curves.of_runs(options.runs)
    for run in options.runs:
        if not (run / "config.yaml").is_file():
            raise PosextError(f"{run} is not the folder of a run: it has no config.yaml")
    sums = pd.concat(
        [of_run for run in options.runs if (of_run := named_sums(run)) is not None],
        ignore_index=True,
    )
    (options.out / "configs").mkdir(parents=True, exist_ok=True)
    joined(curves.read_curves(options.out / "curves.csv"), table).to_csv(
        options.out / "curves.csv", index=False
    )
    joined(document_sums.sums(options.out), sums).to_parquet(
        options.out / document_sums.SUMS, index=False
    )
    for run in options.runs:
        shutil.copyfile(run / "config.yaml", options.out / "configs" / f"{run.name}.yaml")
    print(options.out)


def named_sums(run: Path) -> pd.DataFrame | None:
    """The sums of a run, with its name."""
    sums = document_sums.sums(run)
    return None if sums is None else sums.assign(run=run.name)


def joined(before: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, after those of other runs that were there before; by run, in the order of their names."""
    parts = (
        [rows]
        if before is None or not len(before)
        else [before.loc[~before.run.isin(rows.run)], rows]
    )
    return pd.concat([part for part in parts if len(part)], ignore_index=True).sort_values(
        "run", kind="stable"
    )
