"""What protocols say of the same weights: python scripts/protocols.py results/protocols

summary.md has a row for each scheme: what the loss does from the training length to eight times it,
of all targets and of those that far context could help, with 95 % intervals over seeds and
documents; the effective context where farther text is replaced, of every seed; and the share of
heads with a sink at both lengths. targets.png has the loss over the context, of all targets, of far
copies and of key tokens; perturbed.png has its rise where farther text is changed. Lines are means
over seeds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis import attention, effective_context
from posext.analysis.comparison import Bootstrap
from posext.analysis.curves import curve_label, read_curves, select_factor
from posext.analysis.document_sums import StoredCurve, align_documents, read_stored
from posext.analysis.two_way import two_way
from posext.cli import app
from posext.config import HEADLINE, KEY_TOKENS
from posext.eval.perturbation import CHANGES
from posext.eval.variants import OWN_WINDOW
from posext.report.pyplot import plt

MULTIPLE = 8  # of the training length
TARGETS = (  # a protocol and a group of its targets, under the heading of a column
    ("all targets", HEADLINE, ""),
    ("far copies", "far_copy", "far"),
    ("the rest", "far_copy", "rest"),
    ("key tokens", KEY_TOKENS, "key"),
    ("the rest", KEY_TOKENS, "rest"),
)
DRAWN = (0, 1, 3)  # of TARGETS
SHARE = 0.01  # of the loss: a rise below it counts as none
SINK_RATE = "sink_rate"


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("study", type=Path, help="a folder that posext collect wrote")
    folder = parser.parse_args().study
    (folder / "summary.md").write_text(f"{summary(folder)}\n")
    draw_targets(folder, folder / "targets.png")
    draw_rises(rises_by_scheme(folder), folder / "perturbed.png")
    print(folder)


def by_scheme(curves: Sequence[StoredCurve]) -> dict[str, list[StoredCurve]]:
    """The curves of every scheme over its seeds, by label."""
    found: dict[str, list[StoredCurve]] = {}
    for curve in curves:
        row = curve.row.copy()
        row["protocol"] = HEADLINE
        found.setdefault(curve_label(row), []).append(curve)
    return found


def summary(folder: Path) -> str:
    """The table, in Markdown."""
    columns = [
        changes(by_scheme(read_stored([folder], protocol, group, "matched")))
        for _, protocol, group in TARGETS
    ]
    effective = effective_by_scheme(folder)
    sinks = sink_rates(folder)
    lines = [
        [
            scheme,
            *(column.get(scheme, "") for column in columns),
            effective.get(scheme, ""),
            sinks.get(scheme, ""),
        ]
        for scheme in columns[0]
    ]
    headers = ["", *(title for title, _, _ in TARGETS), "effective context", "heads with a sink"]
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def changes(schemes: dict[str, list[StoredCurve]]) -> dict[str, str]:
    """What the loss does from the training length to MULTIPLE times it, in nats."""
    cells = {}
    for scheme, curves in schemes.items():
        start = int(curves[0].row.original_length)
        frames = []
        for curve in curves:
            frames += [curve.sums[start * MULTIPLE], curve.sums[start]]
        nll_LD, weight_D = align_documents(frames)
        change = two_way(nll_LD[::2] - nll_LD[1::2], weight_D).both
        cells[scheme] = f"{change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
    return cells


def effective_by_scheme(folder: Path) -> dict[str, str]:
    """The effective context where farther text is replaced, in tokens, of each seed."""
    found: dict[str, list[str]] = {}
    for curve in effective_context.read_rises(folder, matched_rows(folder)):
        if curve.change == "replaced":
            length = curve.effective(SHARE, Bootstrap()).value
            text = f"{length:.0f}" if np.isfinite(length) else f"> {curve.kept[-1]}"
            found.setdefault(curve.name, []).append(text)
    return {scheme: ", ".join(texts) for scheme, texts in found.items()}


def sink_rates(folder: Path) -> dict[str, str]:
    """The mean share of heads with a sink, at the training length and at MULTIPLE times it."""
    rows = attention.over_heads(attention.read_attention(folder / attention.FILE))
    runs = matched_rows(folder).drop_duplicates(["run", "extend", "factor"])
    rows = rows.loc[rows.metric == SINK_RATE].merge(
        runs.drop(columns=["context_length"]), on=["run", "extend", "factor"]
    )
    cells = {}
    for label, of_scheme in rows.groupby(rows.apply(label_of, axis="columns"), sort=False):
        means = of_scheme.groupby("context_length").value.mean()
        start = int(of_scheme.original_length.iloc[0])
        cells[str(label)] = f"{means[start]:.2f}, {means[start * MULTIPLE]:.2f}"
    return cells


def label_of(row: pd.Series) -> str:
    """The label of a curve, without its protocol."""
    row = row.copy()
    row["protocol"] = HEADLINE
    return curve_label(row)


def matched_rows(folder: Path) -> pd.DataFrame:
    """The rows of curves.csv without fixed factors."""
    return select_factor(read_curves(folder / "curves.csv"), "matched")


def rises_by_scheme(folder: Path) -> dict[str, dict[str, pd.Series]]:
    """The mean rise over seeds by distance, for each change and scheme."""
    found: dict[str, dict[str, list[pd.Series]]] = {change: {} for change in CHANGES}
    for curve in effective_context.read_rises(folder, matched_rows(folder)):
        rises = cast(pd.Series, curve.table().set_index("kept").rise)
        found[curve.change].setdefault(curve.name, []).append(rises)
    return {
        change: {scheme: pd.concat(rises, axis=1).mean(axis=1) for scheme, rises in of.items()}
        for change, of in found.items()
    }


def draw_targets(folder: Path, out: Path) -> None:
    """Draw a panel for each kind of targets; of own windows that of RoPE alone is drawn."""
    figure, grid = plt.subplots(1, len(DRAWN), figsize=(13.8, 3.8), layout="constrained")
    for axes, (title, protocol, group) in zip(grid, (TARGETS[n] for n in DRAWN), strict=True):
        for scheme, curves in by_scheme(read_stored([folder], protocol, group, "matched")).items():
            if OWN_WINDOW in scheme and not scheme.startswith("rope → own"):
                continue
            losses = pd.concat([of_length(curve) for curve in curves], axis=1).mean(axis=1)
            axes.plot(losses.index, losses, marker="o", label=scheme)
        axes.set_xscale("log", base=2)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("context (tokens)", fontsize=9)
        axes.set_ylabel("nats a token", fontsize=9)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(out, dpi=130)
    plt.close(figure)


def of_length(curve: StoredCurve) -> pd.Series:
    """The loss of a curve in nats, by context length."""
    return pd.Series(
        {length: sums.nll.sum() / sums.tokens.sum() for length, sums in curve.sums.items()}
    )


def draw_rises(rises: dict[str, dict[str, pd.Series]], out: Path) -> None:
    """Draw a panel for each change, with a line for each scheme."""
    figure, grid = plt.subplots(
        1, len(rises), figsize=(4.6 * len(rises), 3.8), layout="constrained"
    )
    for axes, (change, schemes) in zip(grid, rises.items(), strict=True):
        for scheme, mean in schemes.items():
            axes.plot(mean.index, mean, marker="o", label=scheme)
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.set_xscale("log", base=2)
        axes.set_title(f"farther text {change}", fontsize=10)
        axes.set_xlabel("intact text before the first target (tokens)", fontsize=9)
        axes.set_ylabel("rise of the loss (nats a token)", fontsize=9)
    handles = grid[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center", fontsize=8)
    figure.savefig(out, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
