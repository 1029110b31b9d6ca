"""`posext accuracy`: compare runs on algorithmic tasks, as a table and as a chart."""

import sys
from collections.abc import Sequence
from pathlib import Path

from posext.analysis import accuracy
from posext.analysis.accuracy_summary import summary, summary_table
from posext.cli import app, markup
from posext.report.accuracy_plot import draw_accuracy

DESCRIPTION = """
Print accuracy by scheme (rows) and algorithmic task (columns) as a table: the mean over
seeds and over the lengths beyond those trained, its mean over tasks, and the mean reciprocal rank
(mrr) over tasks and lengths.
"""
EXAMPLES = """
posext accuracy results/runs/algorithms/*
posext accuracy results/algorithms --metric normalized --at 2 --figure figure.png
"""


@app.script
def main() -> None:
    print(text(sys.argv[1:]))


def text(arguments: Sequence[str]) -> str:
    """Return what the command prints for what is typed after it, and draw the chart it names."""
    parser = app.subcommand_parser("accuracy", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a run folder, a collected folder, or an accuracy.csv file",
    )
    parser.add_argument(
        "--metric",
        choices=tuple(accuracy.METRICS),
        default="exact",
        help="exact match (exact, the default), or the accuracy of symbols on a scale on which a "
        "guess has 0 (normalized)",
    )
    parser.add_argument(
        "--at",
        type=float,
        nargs="+",
        metavar="MULTIPLE",
        help="the lengths to summarise, over the longest length trained (default: all above 1)",
    )
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="the chart of all lengths to write as well, in the format of its suffix",
    )
    markup.add_format(parser)
    options = parser.parse_args(arguments)
    rows = accuracy.of_runs(options.runs)
    if options.figure is not None:
        draw_accuracy(rows, options.figure, [options.metric])
    style = markup.STYLES[options.format]
    table = summary_table(summary(rows, options.metric, options.at), style)
    return markup.finished(table, options.format)
