"""`posext compare`: print paired differences between the curves of several runs."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from posext.analysis import comparison, document_sums, effective_context, in_context
from posext.analysis.comparison_over_seeds import compare_over_seeds
from posext.analysis.curves import curve_label, read_curves
from posext.analysis.statistics import NO_INTERVAL, Estimate
from posext.analysis.two_way import NOISE_FLOOR
from posext.cli import app, markup
from posext.config import HEADLINE, OWN, PER_POSITION
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
posext compare results/runs/* --protocol per_position
"""
OVER_SEEDS_NOTE = (
    "both: the interval over seeds and documents together. p: of that, adjusted for all rows of "
    f"all lengths (Holm). Rounding alone moves one run by {NOISE_FLOOR} nats."
)


@app.script
def main() -> None:
    print(text(sys.argv[1:]))


def text(arguments: Sequence[str]) -> str:
    """Return what the command prints for what is typed after it."""
    options = make_parser().parse_args(arguments)
    if options.at_train and options.protocol not in COMPARABLE:
        raise PosextError(
            f"lengths compare under {', '.join(sorted(COMPARABLE))}, not under {options.protocol}"
        )
    if options.protocol == PER_POSITION and not options.group:
        return scores(options.runs)
    bootstrap = comparison.Bootstrap(options.bootstrap, options.seed)
    curves = document_sums.read_stored(
        options.runs, options.protocol, options.group, options.factor, options.corpus
    )
    if options.base is not None:
        put_first(curves, options.base)

    def table(rows: pd.DataFrame) -> str:
        return as_table(at_lengths(rows, options.context), options.format)

    if options.over_seeds:
        return f"{table(compare_over_seeds(curves))}\n\n{OVER_SEEDS_NOTE}"
    if options.at_train:
        tables = [comparison.to_crop(curve) for curve in curves]
        differences = pd.concat(tables, ignore_index=True)
        notes = [comparison.ONE_RUN_CAVEAT]
    else:
        differences = comparison.to_first(curves)
        notes = comparison.seed_caveats(curves)
    blocks = [table(differences)]
    over_seeds = comparison.seeds_table(differences)
    if len(over_seeds):
        blocks.append(
            "The same differences over seeds: mean, standard deviation and paired 95 % t interval"
        )
        blocks.append(table(over_seeds))
    if notes:
        blocks.append("\n".join(notes))
    if options.at_train:
        numbers = pd.DataFrame([derived(curve, bootstrap) for curve in curves])
        blocks.append("Of each curve, with intervals over documents")
        blocks.append(as_table(numbers, options.format))
        blocks.append("effective: from that context on, the loss is within 1 % of the longest's")
    return "\n\n".join(blocks)


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
        help="a group of the protocol's targets: far or rest of far_copy, key or rest of "
        "key_tokens, or a bucket of positions",
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
    markup.add_format(parser)
    return parser


def derived(curve: document_sums.StoredCurve, bootstrap: comparison.Bootstrap) -> dict[str, Any]:
    """The numbers derived from a curve, with its effective context size after its usable length."""
    numbers = comparison.derived(curve, bootstrap)
    effective = effective_context.size_text(effective_context.effective_size(curve, bootstrap))
    names = list(numbers)
    place = names.index("share") + 1
    ordered = [*names[:place], "effective", *names[place:]]
    return {name: (numbers | {"effective": effective})[name] for name in ordered}


def scores(runs: Sequence[Path]) -> str:
    """The in-context-learning scores of runs, as a table.

    Raises PosextError if none was measured by position.
    """
    measured = [
        score
        for run in runs
        for score in in_context.in_context_scores(run, read_curves(run / "curves.csv"))
    ]
    if not measured:
        raise PosextError(
            f"none of these has losses by position: posext evaluate run={runs[0]} "
            f"'protocols=[{PER_POSITION}]' measures them"
        )
    return in_context.score_table(measured)


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


def as_table(table: pd.DataFrame, markup_format: str) -> str:
    """A table as Markdown or LaTeX, without the model where it is the same in all rows."""
    if "model" in table and table.model.nunique() < 2:
        table = table.drop(columns="model")
    rows = [[cell(name, row[name]) for name in table.columns] for row in table.to_dict("records")]
    style = markup.STYLES[markup_format]
    made = tabulate(rows, headers=list(table.columns), tablefmt=style, disable_numparse=True)
    return markup.finished(made, markup_format)


def cell(name: str, value: Any) -> str:
    """The text of a value in the column `name`; empty for a missing end of an interval."""
    if isinstance(value, Estimate):
        if math.isnan(value.low):
            return f"{value.value:+.3f} ({NO_INTERVAL})"
        return f"{value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if name in ("ratio", "share", "p") else f"{value:+.3f}"
    return "" if value is None else str(value)
