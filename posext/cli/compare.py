"""Differences between runs on the same targets, with paired intervals: posext compare results/runs/*

Each curve less the first; with --at-train, each curve's lengths less its own crop baseline. Nats a token; below 0 is better.
The intervals are over documents. Runs of several seeds are compared seed by seed, and the spread over seeds stands below.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from posext.analysis import comparison, document_sums
from posext.analysis.curves import curve_label
from posext.analysis.statistics import NO_INTERVAL, Estimate
from posext.cli import app
from posext.eval.protocols import COMPARABLE
from posext.utils.errors import PosextError


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument(
        "--at-train",
        action="store_true",
        help="against what cutting the context to train_length gives",
    )
    parser.add_argument(
        "--over-seeds", action="store_true", help="one row for all the seeds of a scheme"
    )
    parser.add_argument(
        "--base", help="the scheme that others are compared to, as tables name it; else the first"
    )
    parser.add_argument("--context", type=int, nargs="+", help="context lengths shown; else all")
    parser.add_argument("--protocol", default="fixed_target")
    parser.add_argument(
        "--group", default="", help="of the protocol's targets: far or rest of far_copy, a bucket"
    )
    parser.add_argument(
        "--factor", choices=("all", "matched", "fixed"), default="all", help="of the scalings"
    )
    parser.add_argument(
        "--bootstrap", type=int, default=1000, help="resamples, for how sure a usable length is"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    options = parser.parse_args()
    if options.at_train and options.protocol not in COMPARABLE:
        raise PosextError(
            f"lengths compare under {', '.join(sorted(COMPARABLE))}, not under {options.protocol}"
        )
    bootstrap = comparison.Bootstrap(options.bootstrap, options.seed)
    curves = document_sums.read(options.runs, options.protocol, options.group, options.factor)
    if options.base is not None:
        if options.base not in (known := {curve_label(curve.row) for curve in curves}):
            raise PosextError(
                f"none of these is {options.base!r}: they hold {', '.join(sorted(known))}"
            )
        curves.sort(key=lambda curve: curve_label(curve.row) != options.base)
    if options.over_seeds:
        show(only(comparison.compare_over_seeds(curves), options.context))
        return
    if options.at_train:
        differences = pd.concat([comparison.to_crop(curve) for curve in curves], ignore_index=True)
    else:
        differences = comparison.to_first(curves)
    show(only(differences, options.context))
    if len(over_seeds := comparison.seeds_table(differences)):
        print(
            "\nThe same differences over seeds: mean, standard deviation and paired 95 % t interval\n"
        )
        show(only(over_seeds, options.context))
    if (
        about := [comparison.ONE_RUN_CAVEAT]
        if options.at_train
        else comparison.seed_caveats(curves)
    ):
        print("", *about, sep="\n")
    if options.at_train:
        print("\nOf each curve, with intervals over documents\n")
        show(pd.DataFrame([comparison.derived(curve, bootstrap) for curve in curves]))


def only(table: pd.DataFrame, lengths: list[int] | None) -> pd.DataFrame:
    """The rows at some context lengths."""
    return table if lengths is None else table.loc[table.context.isin(lengths)]


def show(table: pd.DataFrame) -> None:
    rows = [[cell(name, row[name]) for name in table.columns] for row in table.to_dict("records")]
    print(tabulate(rows, headers=list(table.columns), tablefmt="github", disable_numparse=True))


def cell(name: str, value: Any) -> str:
    if isinstance(value, Estimate):
        if math.isnan(value.low):
            return f"{value.value:+.3f} ({NO_INTERVAL})"
        return f"{value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"
    if isinstance(value, float) and math.isnan(value):  # an end of no interval
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if name in ("ratio", "share") else f"{value:+.3f}"
    return "" if value is None else str(value)
