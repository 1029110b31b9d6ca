"""`posext compare`: print paired differences between the curves of several runs."""

import argparse
import math
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from posext.analysis import comparison, document_sums
from posext.analysis.comparison_over_seeds import compare_over_seeds
from posext.analysis.curves import curve_label
from posext.analysis.statistics import NO_INTERVAL, Estimate
from posext.cli import app
from posext.config import HEADLINE, OWN
from posext.eval.protocols import COMPARABLE
from posext.utils.errors import PosextError

DESCRIPTION = """
Print the difference of each curve to the first, on the same targets, in nats a token: below 0 is
better. Intervals are paired over documents; runs of several seeds are compared seed by seed, with
the spread over seeds below.
"""
EXAMPLES = """
posext compare results/runs/*
posext compare results/runs/rope-tiny-128-seed0 --at-train
posext compare results/runs/* --over-seeds --base rope --context 512 1024
"""


@app.script
def main() -> None:
    options = make_parser().parse_args()
    if options.at_train and options.protocol not in COMPARABLE:
        raise PosextError(
            f"lengths compare under {', '.join(sorted(COMPARABLE))}, not under {options.protocol}"
        )
    bootstrap = comparison.Bootstrap(options.bootstrap, options.seed)
    curves = document_sums.read_stored(
        options.runs, options.protocol, options.group, options.factor, options.corpus
    )
    if options.base is not None:
        put_first(curves, options.base)
    if options.over_seeds:
        print_table(at_lengths(compare_over_seeds(curves), options.context))
        return
    if options.at_train:
        tables = [comparison.to_crop(curve) for curve in curves]
        differences = pd.concat(tables, ignore_index=True)
        notes = [comparison.ONE_RUN_CAVEAT]
    else:
        differences = comparison.to_first(curves)
        notes = comparison.seed_caveats(curves)
    print_table(at_lengths(differences, options.context))
    over_seeds = comparison.seeds_table(differences)
    if len(over_seeds):
        print(
            "\nThe same differences over seeds: "
            "mean, standard deviation and paired 95 % t interval\n"
        )
        print_table(at_lengths(over_seeds, options.context))
    if notes:
        print("", *notes, sep="\n")
    if options.at_train:
        print("\nOf each curve, with intervals over documents\n")
        print_table(pd.DataFrame([comparison.derived(curve, bootstrap) for curve in curves]))


def make_parser() -> argparse.ArgumentParser:
    parser = app.subcommand_parser("compare", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="the folder of a measured run"
    )
    parser.add_argument(
        "--at-train",
        action="store_true",
        help="compare each curve with its own crop baseline: the loss with the context cut to the "
        "training length",
    )
    parser.add_argument(
        "--over-seeds",
        action="store_true",
        help="print one row for all seeds of a scheme",
    )
    parser.add_argument(
        "--base",
        metavar="SCHEME",
        help="the scheme to compare with, as tables name it (default: the first)",
    )
    parser.add_argument(
        "--context",
        type=int,
        nargs="+",
        metavar="TOKENS",
        help="the context lengths to print (default: all)",
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
        "--group",
        default="",
        help="a group of the protocol's targets: far or rest of far_copy, or a bucket of positions",
    )
    parser.add_argument(
        "--factor",
        choices=("all", "matched", "fixed"),
        default="all",
        help="of rotary scalings, the curves to compare: with a factor that follows the context "
        "(matched), with a fixed one, or all (default)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="resamples of the documents, for the certainty of a usable length (default: 1000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the seed of those resamples (default: 0)"
    )
    return parser


def put_first(curves: list[Any], base: str) -> None:
    """Move the curves of a scheme to the front, in place.

    Raises PosextError if no curve has that label.
    """
    labels = {curve_label(curve.row) for curve in curves}
    if base not in labels:
        raise PosextError(f"none of these is {base!r}: they hold {', '.join(sorted(labels))}")
    curves.sort(key=lambda curve: curve_label(curve.row) != base)


def at_lengths(table: pd.DataFrame, lengths: list[int] | None) -> pd.DataFrame:
    """The rows at some context lengths; all rows for None."""
    return table if lengths is None else table.loc[table.context.isin(lengths)]


def print_table(table: pd.DataFrame) -> None:
    """Print a table as Markdown."""
    rows = [[cell(name, row[name]) for name in table.columns] for row in table.to_dict("records")]
    print(tabulate(rows, headers=list(table.columns), tablefmt="github", disable_numparse=True))


def cell(name: str, value: Any) -> str:
    """The text of a value in the column `name`; empty for a missing end of an interval."""
    if isinstance(value, Estimate):
        if math.isnan(value.low):
            return f"{value.value:+.3f} ({NO_INTERVAL})"
        return f"{value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if name in ("ratio", "share") else f"{value:+.3f}"
    return "" if value is None else str(value)
