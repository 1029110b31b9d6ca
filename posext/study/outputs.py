"""The folder of a study: curves, configs, figures, tables, a page, and how it was made.

results/NAME/
    curves.csv, documents.parquet, configs/   of runs that are here, and those collected before
    keys.csv, retrieval.csv, attention.csv, accuracy.csv    if there is anything of the kind
    OUTPUT.png, OUTPUT.svg, OUTPUT.pdf        of each `plot`
    OUTPUT.md, OUTPUT.tex                     of each `table`, `compare` and `accuracy`
    record.json                               commit, machine and versions, of each machine
    report.html                               a page that opens offline, if all targets are the same
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from posext.analysis import curves, document_sums
from posext.analysis.measured_name import without_seed
from posext.analysis.same_targets import latest, left_out
from posext.cli import accuracy, collect, compare, plot, table
from posext.report.page import write_page
from posext.study import record
from posext.study.plan import Plan
from posext.study.spec import words
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

DRAWN = ("png", "svg", "pdf")
PRINTED = {"md": "markdown", "tex": "latex"}
TABLES = {"table": table.text, "compare": compare.text, "accuracy": accuracy.text}


def make(plan: Plan) -> Path:
    """Make the folder of a study from the runs that are here, and from what it holds already.

    Rows of runs that the study does not have are left out of it, whatever their seed.

    Returns:
        The folder.

    Raises:
        PosextError: Nothing is measured, or an output cannot be made; the others are made then.
    """
    out = plan.study.out
    folders = [folder for folder in measured_folders(plan) if is_measured(folder)]
    if folders:
        collect.gather(folders, out)
        record.write(out, plan.study.name, len(folders))
    if not is_measured(out):
        raise PosextError(f"nothing of the study {plan.study.name} is measured yet")
    leave_out_others(plan, out)
    leave_out_former_targets(out)
    failed = []
    for name, line in plan.study.spec.outputs.items():
        try:
            make_output(out, name, words(line), folders)
        except PosextError as error:  # of a part that is not measured yet, for one
            failed.append(f"{name}: {error}")
    try:
        write_page([out], out / "report.html")
    except PosextError as error:  # runs on several sets of targets, as of several sizes
        print(f"no page: {error}")
    if failed:
        raise PosextError(
            f"{out} lacks {len(failed)} of {len(plan.study.spec.outputs)} outputs; the first, "
            f"{failed[0]}"
        )
    return out


def measured_folders(plan: Plan) -> list[Path]:
    """The folders of the runs that a study measures, and of the steps kept that it measures."""
    trained = [folder for folder, config in plan.runs.items() if config.evaluate]
    measured = [job.folder for step in plan.steps if step.entry == "evaluate" for job in step.jobs]
    return list(dict.fromkeys([*trained, *measured]))


def is_measured(folder: Path) -> bool:
    """Whether a folder, of a run or a study, holds measurements."""
    return any((folder / name).is_file() for name in collect.MEASURED)


def make_output(out: Path, name: str, typed: list[str], folders: list[Path]) -> None:
    """Make one output, in all its formats."""
    command, *options = typed
    curves_file = str(out / collect.CURVES)
    if command == "plot":
        for suffix in DRAWN:
            plot.draw([curves_file, *options, "--out", str(out / f"{name}.{suffix}")])
    elif command in TABLES:
        for suffix, markup_format in PRINTED.items():
            text = TABLES[command]([str(out), *options, "--format", markup_format])
            write_text(out / f"{name}.{suffix}", f"{text}\n")
    elif command == "python":
        run_program(out, options, folders)
    else:
        raise PosextError(
            f"output {name}: {command!r} is none of plot, {', '.join(TABLES)} and python"
        )


def run_program(out: Path, options: list[str], folders: list[Path]) -> None:
    """Run a Python program on the folder of the study, or on those of its runs.

    It is passed over where it asks for runs and none is here. Raises PosextError if it fails.
    """
    if "{runs}" in options and not folders:
        return
    arguments: list[str] = []
    for option in options:
        is_runs = option == "{runs}"
        arguments += map(str, folders) if is_runs else [option.replace("{out}", str(out))]
    if subprocess.run([sys.executable, *arguments], check=False).returncode != 0:
        raise PosextError(f"python {' '.join(options)} failed")


def leave_out_others(plan: Plan, out: Path) -> None:
    """Delete from the folder of a study what it holds of runs that are not in the plan.

    Seeds of planned runs are kept, as another machine may have trained them.
    """
    planned = {without_seed(folder.name) for folder in measured_folders(plan)}
    files = [out / name for name in collect.MEASURED if (out / name).is_file()]
    tables = {file: pd.read_csv(file, dtype=str, keep_default_na=False) for file in files}
    runs = {run for rows in tables.values() for run in rows.run}
    others = {run for run in runs if without_seed(run) not in planned}
    if not others:
        return
    print(f"left out of {out}, as the study has no such runs: {', '.join(sorted(others))}")
    sums = document_sums.sums(out)
    if sums is not None:
        document_sums.write_sums(sums.loc[~sums.run.isin(others)], out)
    for run in others:
        (out / "configs" / f"{run}.yaml").unlink(missing_ok=True)
    for file, rows in tables.items():  # last: what a kill leaves is found again by the names here
        write_text(file, rows.loc[~rows.run.isin(others)].to_csv(index=False))


def leave_out_former_targets(out: Path) -> None:
    """Delete curves on other targets than the last of their run, which another study measured."""
    file = out / collect.CURVES
    if not file.is_file():
        return
    rows = curves.read_curves(file)
    kept = pd.concat([latest(of_run) for _, of_run in rows.groupby("run", sort=False)])
    if len(kept) == len(rows):
        return
    print(f"{out}: {left_out(rows, kept)}")
    sums = document_sums.sums(out)
    if sums is not None:
        key = ["run", *curves.CURVE_IN_FOLDER]
        kept_curves = pd.MultiIndex.from_frame(kept.loc[:, key])
        is_kept = pd.MultiIndex.from_frame(sums.loc[:, key]).isin(kept_curves)
        document_sums.write_sums(sums.loc[is_kept], out)
    write_text(file, kept.to_csv(index=False))  # last: a curve is never without its sums
