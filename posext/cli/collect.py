"""`posext collect`: gather the measurements of several runs in one folder."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from posext.analysis import accuracy, attention, curves, document_sums, key_choice, retrieval
from posext.analysis.measured_name import measured_name
from posext.cli import app
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

CURVES = "curves.csv"
MEASURED = (CURVES, key_choice.FILE, retrieval.FILE, attention.FILE, accuracy.FILE)
DESCRIPTION = """
Gather the measurements of several runs in one folder to commit: curves.csv, documents.parquet (the
sums by document, from which every interval can be made again), keys.csv where a judge chose key
tokens, retrieval.csv, attention.csv and accuracy.csv of runs that have them, and configs/RUN.yaml.
Rows of other runs in that folder stay, so a study can be collected in parts, also from several
machines.
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
        PosextError: A source is neither, none is measured, or two have a run of one name.
    """
    on_tasks = [source for source in sources if (source / accuracy.FILE).is_file()]
    on_texts = [
        source for source in sources if source not in on_tasks or (source / CURVES).is_file()
    ]
    rows = curves.of_runs(on_texts) if on_texts else None
    files = [file for source in sources for file in config_files(source)]
    refuse_equal_names(files)
    (out / "configs").mkdir(parents=True, exist_ok=True)
    if rows is not None:
        gather_curves(on_texts, rows, out)
        gather_retrieval(on_texts, rows, out)
        gather_attention(on_texts, out)
    if on_tasks:
        file = out / accuracy.FILE
        replaced = replace_runs(accuracy.read_accuracy(file), accuracy.of_runs(on_tasks))
        write_text(file, replaced.to_csv(index=False))
    for name, file in files:
        write_text(out / "configs" / f"{name}.yaml", file.read_text())


def config_files(source: Path) -> list[tuple[str, Path]]:
    """The names and configs of a run, or of all runs in a folder that `gather` made.

    Raises PosextError for any other folder.
    """
    if (source / "config.yaml").is_file():
        return [(measured_name(source), source / "config.yaml")]
    if not (source / "configs").is_dir():
        raise PosextError(f"{source} is not the folder of a run: it has no config.yaml")
    return [(file.stem, file) for file in sorted((source / "configs").glob("*.yaml"))]


def refuse_equal_names(files: Sequence[tuple[str, Path]]) -> None:
    """Raise PosextError for two configs of one name: their sums would be added up."""
    by_name: dict[str, Path] = {}
    for name, file in files:
        if name in by_name:
            raise PosextError(
                f"{by_name[name]} and {file} are of runs named {name}: "
                "collect one after the other, and the last is kept"
            )
        by_name[name] = file


def gather_curves(sources: Sequence[Path], rows: pd.DataFrame, out: Path) -> None:
    """Write the curves of some runs, their sums and the counts of their keys into a folder.

    The curves come last, so that none is without its sums.
    """
    named = [sums for source in sources if (sums := named_sums(source)) is not None]
    if named:  # runs of the first versions have none
        sums = pd.concat(named, ignore_index=True)
        document_sums.write_sums(replace_runs(document_sums.sums(out), sums), out)
    keys_file = out / key_choice.FILE
    keys = pd.concat([key_choice.read_key_counts(source / key_choice.FILE) for source in sources])
    if len(keys):
        replaced_keys = replace_runs(key_choice.read_key_counts(keys_file), keys)
        write_text(keys_file, replaced_keys.to_csv(index=False))
    replaced = replace_runs(curves.read_curves(out / CURVES), rows)
    write_text(out / CURVES, replaced.to_csv(index=False))


def gather_retrieval(sources: Sequence[Path], rows: pd.DataFrame, out: Path) -> None:
    """Write the answers of some runs into a folder, if any was asked; `rows` are their curves."""
    answers = retrieval.of_runs(sources, rows)
    if len(answers):
        file = out / retrieval.FILE
        before = retrieval.read_collected(file) if file.exists() else None
        write_text(file, replace_runs(before, answers).to_csv(index=False))


def gather_attention(sources: Sequence[Path], out: Path) -> None:
    """Write what the heads of some runs look at into a folder, if any was measured."""
    looks = [attention.read_attention(source / attention.FILE) for source in sources]
    measured = [rows for rows in looks if len(rows)]
    if measured:
        file = out / attention.FILE
        joined = pd.concat(measured, ignore_index=True)
        attention.write_attention(replace_runs(attention.read_attention(file), joined), file)


def named_sums(run: Path) -> pd.DataFrame | None:
    """The sums of a run, with a column for its name, or of several; None without sums."""
    sums = document_sums.sums(run)
    return sums if sums is None or "run" in sums else sums.assign(run=measured_name(run))


def replace_runs(before: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the rows of the same runs in `before`, and sort all rows by run."""
    frames = [rows]
    if before is not None and len(before):
        frames.insert(0, before.loc[~before.run.isin(rows.run)])
    joined = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    return joined.sort_values("run", kind="stable")
