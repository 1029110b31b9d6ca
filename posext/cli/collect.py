"""`posext collect`: gather the measurements of several runs in one folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from posext.analysis import curves, document_sums
from posext.cli import app
from posext.utils.errors import PosextError

DESCRIPTION = """
Gather the measurements of several runs in one folder to commit: curves.csv, documents.parquet (the
sums by document, from which every interval can be made again) and configs/RUN.yaml. Rows of other
runs in that folder stay, so a study can be collected in parts, also from several machines.
"""
EXAMPLES = """
posext collect results/runs/* --out results/my_study
posext collect other_machine/results/my_study --out results/my_study
"""


@app.script
def main() -> None:
    parser = app.subcommand_parser("collect", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="the folder of a measured run, or one that this command made",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", required=True, help="the folder to write to"
    )
    options = parser.parse_args()
    gather(options.runs, options.out)
    print(options.out)


def gather(sources: Sequence[Path], out: Path) -> None:
    """Put what runs measured into one folder.

    Args:
        sources: Folders of runs, or folders that this made on other machines.
        out: The folder to write to; what it has of other runs stays.

    Raises:
        PosextError: A source is neither, or none has curves.
    """
    rows = curves.of_runs(sources)
    files = [file for source in sources for file in config_files(source)]
    named = [sums for source in sources if (sums := named_sums(source)) is not None]
    (out / "configs").mkdir(parents=True, exist_ok=True)
    curves_file = out / "curves.csv"
    replace_runs(curves.read_curves(curves_file), rows).to_csv(curves_file, index=False)
    sums_file = out / document_sums.SUMS
    sums = pd.concat(named, ignore_index=True)
    replace_runs(document_sums.sums(out), sums).to_parquet(sums_file, index=False)
    for name, file in files:
        shutil.copyfile(file, out / "configs" / f"{name}.yaml")


def config_files(source: Path) -> list[tuple[str, Path]]:
    """The names and configs of a run, or of all runs in a folder that `gather` made.

    Raises PosextError for any other folder.
    """
    if (source / "config.yaml").is_file():
        return [(source.name, source / "config.yaml")]
    if not (source / "configs").is_dir():
        raise PosextError(f"{source} is not the folder of a run: it has no config.yaml")
    return [(file.stem, file) for file in sorted((source / "configs").glob("*.yaml"))]


def named_sums(run: Path) -> pd.DataFrame | None:
    """The sums of a run, with a column for its name, or of several; None without sums."""
    sums = document_sums.sums(run)
    return sums if sums is None or "run" in sums else sums.assign(run=run.name)


def replace_runs(before: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the rows of the same runs in `before`, and sort all rows by run."""
    frames = [rows]
    if before is not None and len(before):
        frames.insert(0, before.loc[~before.run.isin(rows.run)])
    joined = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    return joined.sort_values("run", kind="stable")
