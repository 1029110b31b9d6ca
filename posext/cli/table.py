"""`posext table`: print the curves of several runs as a table, in Markdown or LaTeX."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from posext.analysis import curve_table, curves, excess_loss, same_targets
from posext.cli import app, markup
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
DESCRIPTION = """
Print perplexity by scheme (rows) and context length (columns) as a table. The number after
± is half the width of the 95 % interval over documents.
"""
EXAMPLES = """
posext table results/runs/*
posext table results/runs/* --over-seeds --factor matched
posext table results/runs/* --protocol nonoverlap
"""


@app.script
def main() -> None:
    print(text(sys.argv[1:]))


def text(arguments: Sequence[str]) -> str:
    """Return what the command prints for what is typed after it."""
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
        "--protocol",
        metavar="NAME",
        help="print the curves of one evaluation protocol (default: those of all)",
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
    markup.add_format(parser)
    options = parser.parse_args(arguments)
    known, reason = same_targets.without_mixed_keys(curves.of_runs(options.runs))
    if reason:
        log.warning("%s", reason)
    selected = curves.select_factor(of_protocol(known, options.protocol), options.factor)
    style = markup.STYLES[options.format]
    if options.over_seeds:
        table = curve_table.table_over_seeds(selected, style)
    elif options.floor:
        table = excess_loss.excess_loss_table(selected, options.runs, style)
    else:
        table = curve_table.table(selected, style, known)
    return markup.finished(table, options.format)


def of_protocol(rows: pd.DataFrame, protocol: str | None) -> pd.DataFrame:
    """The rows of a protocol; all for None. Raises PosextError if it has none."""
    if protocol is None:
        return rows
    found = rows.loc[rows.protocol == protocol]
    if not len(found):
        known = ", ".join(sorted(rows.protocol.unique()))
        raise PosextError(f"nothing was measured under {protocol}, but under {known}")
    return found
