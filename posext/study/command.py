"""`posext study`: run a study from its file, as far as it is not done, and make its folder."""

import shlex
import sys
from pathlib import Path

from tabulate import tabulate

from posext.cli import app
from posext.study import outputs, progress, run
from posext.study.plan import plan_of
from posext.study.spec import GROUP, OUTPUTS, load, names
from posext.utils import signals
from posext.utils.errors import PosextError

DESCRIPTION = """
Run a study from its file: train the runs that are missing, measure what is missing on their
weights, and make figures and tables in its folder. Typed again it goes on where it stopped.
Without a name it lists the studies.
"""
EXAMPLES = """
posext study
posext study quickstart --dry-run
posext study quickstart hydra/launcher=joblib hydra.launcher.n_jobs=2
posext study zoo --only ten,rest --seeds 0,1
posext study mine --config-dir configs
"""
LAUNCHER = ("hydra/", "hydra.")


@app.script
def main() -> None:
    parser = app.subcommand_parser("study", DESCRIPTION, EXAMPLES)
    parser.add_argument("name", nargs="?", metavar="NAME", help="the study, one of those listed")
    parser.add_argument(
        "launcher",
        nargs="*",
        metavar="HYDRA",
        help="Hydra's settings of its launcher: hydra/launcher=NAME, hydra.launcher.KEY=VALUE",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what there is to do, and the commands"
    )
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="PART,..",
        help=f"the parts to run, of those of the study and {OUTPUTS} (default: all)",
    )
    parser.add_argument(
        "--seeds", type=seeds, default=[], metavar="0,1,..", help="seeds in place of the study's"
    )
    parser.add_argument(
        "--config-dir",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help=f"a folder of your own configs; studies lie in its folder {GROUP}",
    )
    options = parser.parse_intermixed_args()
    if len(options.config_dir) > 1:  # the jobs are Hydra's, which takes the last alone
        raise PosextError("--config-dir may be given once: Hydra takes one folder")
    if options.name is None:
        print(listed(options.config_dir))
        return
    name = options.name.removeprefix("+").removeprefix("study=")
    if wrong := [each for each in options.launcher if not each.startswith(LAUNCHER)]:
        raise PosextError(
            f"{wrong[0]} is no setting of a launcher (hydra/launcher=NAME, hydra.KEY=VALUE); "
            "what is trained stands in the study's file"
        )
    try:
        do(name, options.launcher, options.only, options.seeds, options.config_dir, options.dry_run)
    except signals.Stop as stopped:
        print(f"posext: {stopped}", file=sys.stderr)
        sys.exit(stopped.code)


def do(
    name: str,
    launcher: list[str],
    only: list[str],
    chosen_seeds: list[int],
    config_dirs: list[Path],
    dry_run: bool,
) -> None:
    """Plan a study, and do what is missing of it unless `dry_run`.

    Outputs are made where the whole study was asked for, or they were named in `only`.
    """
    study = load(name, config_dirs)
    plan = plan_of(study, chosen_seeds)
    parts = [part for part in only if part != OUTPUTS]
    steps = progress.progress_of(plan, parts) if parts or not only else []
    print(f"{study.name}: {study.spec.title}\n")
    if steps:
        print(progress.progress_table(steps), end="\n\n", flush=True)
    typed = run.commands(study, steps, launcher)
    if dry_run:
        print(*(f"python {shlex.join(command)}" for command in typed), sep="\n")
        return
    run.run(typed)
    if not only or OUTPUTS in only:
        print(outputs.make(plan))


def seeds(text: str) -> list[int]:
    """Read seeds with commas between them."""
    return [int(seed) for seed in text.split(",")]


def listed(config_dirs: list[Path]) -> str:
    """The table of all studies."""
    rows = [(name, load(name, config_dirs).spec.title) for name in names(config_dirs)]
    return tabulate(rows, headers=["study", "what it is"], tablefmt="plain")
