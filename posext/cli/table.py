"""`posext table`: print the curves of several runs as a Markdown table."""

import logging
from pathlib import Path

from posext.analysis import curve_table, curves, excess_loss, same_targets
from posext.cli import app

log = logging.getLogger(__name__)
DESCRIPTION = """
Print perplexity by scheme (rows) and context length (columns) as a Markdown table. The number after
± is half the width of the 95 % interval over documents.
"""
EXAMPLES = """
posext table results/runs/*
posext table results/runs/* --over-seeds --factor matched
"""


@app.script
def main() -> None:
    parser = app.subcommand_parser("table", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="a run folder, or a curves.csv file"
    )
    parser.add_argument(
        "--factor",
        choices=("all", "matched", "fixed"),
        default="all",
        help="of rotary scalings, the curves to print: with a factor that follows the context "
        "(matched), with a fixed one, or all (default)",
    )
    parser.add_argument(
        "--floor",
        action="store_true",
        help="print the excess over the best possible loss, for synthetic data where it is known",
    )
    parser.add_argument(
        "--over-seeds",
        action="store_true",
        help="print one row for all seeds of a scheme, with their standard deviation in nats",
    )
    options = parser.parse_args()
    known, reason = same_targets.without_mixed_keys(curves.of_runs(options.runs))
    if reason:
        log.warning("%s", reason)
    selected = curves.select_factor(known, options.factor)
    if options.over_seeds:
        print(curve_table.table_over_seeds(selected, "github"))
    elif options.floor:
        print(excess_loss.excess_loss_table(selected, options.runs, "github"))
    else:
        print(curve_table.table(selected, "github", known))
