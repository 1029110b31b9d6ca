"""The chart: context length against perplexity, with intervals, crop baselines and the training length."""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from posext.analysis.curves import crop_baseline, curve_label, dedupe_floor, refuse_mixed_targets
from posext.config import HEADLINE
from posext.eval.bayes_floor import FLOOR
from posext.eval.protocols import COMPARABLE

ONE_LINE = [
    "scheme",
    "extend",
    "factor",
    "original_length",
    "trained_length",
    "group",
]  # over seeds


def draw(
    curves: pd.DataFrame,
    path: Path,
    title: str = "",
    known: pd.DataFrame | None = None,
    protocol: str = HEADLINE,
) -> None:
    """Write the chart of a protocol's curves: one colour a scheme, a fixed factor dashed; several seeds as mean and range.

    A thin dotted line is each run's crop baseline: what cutting the context to the training length gives, as trained;
    it is looked up among the `known` curves, or these. A known floor is dashed black. Raises
    ValueError for curves on different targets.
    """
    curves = curves.loc[curves.protocol == protocol]
    refuse_mixed_targets(curves, known if known is None else known.loc[known.protocol == protocol])
    figure, axes = plt.subplots(figsize=(9.5, 5), layout="constrained")
    colours: dict[tuple, str] = {}
    for _, group in dedupe_floor(curves).groupby(ONE_LINE, sort=False, dropna=False):
        first = group.iloc[0]
        if first.extend == FLOOR:
            one_curve(axes, group, "black", "--")
            continue
        scheme = (
            first.scheme,
            first.extend or first.scheme,
            first.original_length,
            first.trained_length,
            first.group,
        )
        colour = colours.setdefault(scheme, f"C{len(colours) % 10}")
        one_curve(axes, group, colour, "-" if first.factor in ("", "auto") else "--")
        crop_lines(axes, group, curves if known is None else known, colour)
    for length in sorted(curves.original_length.unique()):
        axes.axvline(length, color="0.6", linewidth=0.8, zorder=0)
        axes.annotate(
            f"trained at {length}", (length, 1), xycoords=("data", "axes fraction"), xytext=(3, -10),
            textcoords="offset points", fontsize=8, color="0.4",
        )  # fmt: skip
    lengths = sorted(curves.context_length.unique())
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plain_log_ticks(axes)
    same = (
        "; the same target tokens at every length"
        if protocol in COMPARABLE
        else f" under {protocol}"
    )
    axes.set_xlabel(f"context length (tokens){same}")
    axes.set_ylabel("perplexity")
    axes.grid(axis="y", which="major", color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10, loc="left")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def one_curve(axes: Axes, group: pd.DataFrame, colour: str, style: str) -> None:
    """The mean over seeds of the log-perplexity; the band is the range of the seeds, or one seed's interval."""
    by_length = group.groupby("context_length")
    lengths = np.array(sorted(group.context_length.unique()))
    nll = by_length.nll.mean().to_numpy(float)
    alone = group.seed.nunique() == 1
    low = (by_length.nll_low.mean() if alone else by_length.nll.min()).to_numpy(float)
    high = (by_length.nll_high.mean() if alone else by_length.nll.max()).to_numpy(float)
    seeds = "" if alone else f" ({group.seed.nunique()} seeds)"
    first = group.iloc[0]
    axes.plot(
        lengths,
        np.exp(nll),
        style,
        color=colour,
        marker="o",
        markersize=3,
        label=curve_label(first) + seeds,
    )
    axes.fill_between(lengths, np.exp(low), np.exp(high), color=colour, alpha=0.12, linewidth=0)


def crop_lines(axes: Axes, group: pd.DataFrame, known: pd.DataFrame, colour: str) -> None:
    """The crop baseline from the training length on: the mean over seeds of the runs as trained."""
    crop = np.exp(np.mean([crop_baseline(curve, known) for _, curve in group.groupby("run")]))
    reach = [group.trained_length.iloc[0], group.context_length.max()]
    axes.plot(reach, [crop, crop], ":", color=colour, linewidth=1, alpha=0.7)


def plain_log_ticks(axes: Axes) -> None:
    """Perplexities as plain numbers (10, 20, 50, ...) instead of powers of ten."""
    low, high = axes.get_ylim()
    steps = (1, 2, 5) if high / low > 20 else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [s * 10.0**e for e in range(-1, 9) for s in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
