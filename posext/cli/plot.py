"""`posext plot`: draw the curves of several runs on one chart."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.backend_bases import FigureCanvasBase

from posext.analysis import curves, positions, same_targets
from posext.cli import app
from posext.config import HEADLINE, OWN, PER_POSITION
from posext.report import curve_plot
from posext.utils.errors import PosextError

DESCRIPTION = """
Draw perplexity over context length, the curves of all runs on one chart. Bands are 95 % intervals
for one seed, ranges for several; dotted lines are crop baselines.
"""
EXAMPLES = """
posext plot results/runs/*
posext plot results/runs/* --factor matched --out figure.pdf
posext plot results/runs/* --protocol per_position --smooth 64
"""


@app.script
def main() -> None:
    print(draw(sys.argv[1:]))


def draw(arguments: Sequence[str]) -> Path:
    """Draw the chart that is typed after the command, and return its file."""
    parser = app.subcommand_parser("plot", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="a run folder, or a curves.csv file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=Path("curves.png"),
        help="the chart to write, in the format of its suffix (default: curves.png)",
    )
    parser.add_argument(
        "--factor",
        choices=("all", "matched", "fixed"),
        default="all",
        help="of rotary scalings, the curves to draw: with a factor that follows the context "
        "(matched), with a fixed one, or all (default)",
    )
    parser.add_argument(
        "--protocol",
        default=HEADLINE,
        help=f"the evaluation protocol of the curves (default: {HEADLINE})",
    )
    parser.add_argument(
        "--corpus",
        default=OWN,
        help="the corpus of the curves, by its name in evaluation.data (default: own, the held-out "
        "documents of the corpus that a run was trained on)",
    )
    parser.add_argument(
        "--smooth",
        type=int,
        metavar="TOKENS",
        help=f"with --protocol {PER_POSITION}: a moving average over so many positions, in place "
        "of the buckets",
    )
    parser.add_argument("--title", default="", help="the heading of the chart (default: none)")
    options = parser.parse_args(arguments)
    if options.out.suffix[1:] not in FigureCanvasBase.filetypes:
        formats = ", ".join(sorted(FigureCanvasBase.filetypes))
        raise PosextError(f"--out {options.out}: the format must be one of {formats}")
    known = curves.of_runs(options.runs)
    corpora = set(known.corpus)
    if options.corpus not in corpora:
        raise PosextError(
            f"no curve was measured on {options.corpus!r}, but on {', '.join(sorted(corpora))}"
        )
    known = known.loc[known.corpus == options.corpus]
    protocols = set(known.protocol)
    if options.protocol not in protocols:
        raise PosextError(
            f"no curve was measured under {options.protocol!r}, "
            f"but under {', '.join(sorted(protocols))}"
        )
    selected = curves.select_factor(known, options.factor)
    if options.smooth is not None:
        known = selected = smoothed(options.runs, selected, options.protocol, options.smooth)
    curve_plot.draw_curves(
        selected, options.out, options.title, known, options.protocol, options.smooth
    )
    return options.out


def smoothed(
    runs: Sequence[Path], selected: pd.DataFrame, protocol: str, width: int
) -> pd.DataFrame:
    """Moving averages of the selected curves by position, read from the run folders.

    Raises PosextError for another protocol, a width below 1, runs on several targets, or a path
    without losses by position.
    """
    if protocol != PER_POSITION:
        raise PosextError(f"--smooth goes with --protocol {PER_POSITION}, not {protocol}")
    if width < 1:
        raise PosextError(f"--smooth must be at least 1 token, not {width}")
    by_position = selected.loc[selected.protocol == PER_POSITION]
    same_targets.refuse_mixed_targets(by_position)
    frames = []
    for run in runs:
        own = curves.of_runs([run]).run
        frames.append(
            positions.smoothed_curves(run, by_position.loc[by_position.run.isin(own)], width)
        )
    return pd.concat(frames, ignore_index=True)
