"""The chart of curves: perplexity over context length, with confidence bands and baselines."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from posext.analysis.curve_table import crop_baseline
from posext.analysis.curves import SCHEME_OVER_SEEDS, curve_label, dedupe_floor
from posext.analysis.same_targets import refuse_mixed_targets
from posext.config import HEADLINE
from posext.eval.bayes_floor import FLOOR
from posext.eval.protocols import COMPARABLE
from posext.report.lines import has_fixed_factor, has_repeated_runs, mean_and_band, style_key
from posext.report.pyplot import annotate_trained_length, plt

MOST_TICKS = 24  # of the axis, and of points with a marker
MARKERS = "osD^v"  # of the first ten schemes, of the next ten, ..


def draw_curves(
    curves: pd.DataFrame,
    path: Path,
    title: str = "",
    known: pd.DataFrame | None = None,
    protocol: str = HEADLINE,
    smooth: int | None = None,
) -> None:
    """Write the chart of a protocol's curves, one color a scheme.

    A curve with a fixed factor is dashed; several seeds are drawn as mean and range. A thin dotted
    line is each run's crop baseline: its loss as trained, with the context cut to the training
    length. The best possible loss is dashed in black.

    Args:
        curves: rows of curves.csv.
        path: the file to write; its suffix gives the format.
        title: the heading of the chart.
        known: rows among which crop baselines are looked up; None for `curves`.
        protocol: the protocol whose curves are drawn.
        smooth: the width in tokens of the moving average that the curves are, for the axis.

    Raises:
        PosextError: the curves are on different targets.
    """
    curves = curves.loc[curves.protocol == protocol]
    refuse_mixed_targets(curves, known if known is None else known.loc[known.protocol == protocol])
    figure, axes = plt.subplots(figsize=(9.5, 5), layout="constrained")
    plot_lines(axes, curves, curves if known is None else known)
    for length in sorted({*curves.original_length, *curves.trained_length}):
        axes.axvline(length, color="0.6", linewidth=0.8, zorder=0)
        annotate_trained_length(axes, length, x=length, offset=(3, -10), fontsize=8)
    set_log_axes(axes, length_ticks(sorted(curves.context_length.unique())))
    same_targets = "; the same target tokens at every length"
    suffix = same_targets if protocol in COMPARABLE else f" under {protocol}"
    if smooth is not None:
        suffix += f"; moving average over {smooth} tokens"
    axes.set_xlabel(f"context length (tokens){suffix}")
    axes.set_ylabel("perplexity")
    axes.grid(axis="y", which="major", color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10, loc="left")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_lines(axes: Axes, curves: pd.DataFrame, known: pd.DataFrame) -> None:
    """Plot all curves, each scheme in its color, with its crop baseline if there is one.

    After ten schemes the colors come again, with another marker. Runs that only their names tell
    apart are schemes of their own.
    """
    numbers: dict[tuple, int] = {}
    by_run = has_repeated_runs(curves)
    several_models = curves.model.nunique() > 1
    line_key = [*SCHEME_OVER_SEEDS, "group", *(["run"] if by_run else [])]
    for _, line in dedupe_floor(curves).groupby(line_key, sort=False, dropna=False):
        first = line.iloc[0]
        if first.extend == FLOOR:
            plot_curve(axes, line, "black", "--o")
            continue
        name = f" · {first.model}" if several_models else ""
        name += f" · {first.run}" if by_run else ""
        number = numbers.setdefault((*style_key(first), first.group, name), len(numbers))
        color = f"C{number % 10}"
        marker = MARKERS[number // 10 % len(MARKERS)]
        style = f"{'--' if has_fixed_factor(first) else '-'}{marker}"
        plot_curve(axes, line, color, style, name)
        if first.protocol in COMPARABLE:
            plot_crop_baseline(axes, line, known, color)


def length_ticks(lengths: list[int]) -> list[int]:
    """The lengths to label: all, or the powers of two among many."""
    return lengths if len(lengths) <= MOST_TICKS else [n for n in lengths if n.bit_count() == 1]


def plot_curve(axes: Axes, line: pd.DataFrame, color: str, style: str, name: str = "") -> None:
    """Plot the mean log-perplexity of a line's seeds, with its band; `name` ends its label."""
    seeds = line.seed.nunique()
    values = mean_and_band(
        line.groupby("context_length"), "nll", ("nll_low", "nll_high"), seeds == 1
    )
    lengths = values.index.to_numpy()
    label = curve_label(line.iloc[0]) + name
    if seeds > 1:
        label += f" ({seeds} seeds)"
    mean = np.exp(values["mean"].to_numpy(float))
    size = 3 if len(lengths) <= MOST_TICKS else 0
    axes.plot(lengths, mean, style, color=color, markersize=size, label=label)
    low = np.exp(values.low.to_numpy(float))
    high = np.exp(values.high.to_numpy(float))
    axes.fill_between(lengths, low, high, color=color, alpha=0.12, linewidth=0)


def plot_crop_baseline(axes: Axes, line: pd.DataFrame, known: pd.DataFrame, color: str) -> None:
    """Plot the crop baseline from the training length on: the mean over the line's runs."""
    baselines = [crop_baseline(curve, known) for _, curve in line.groupby("run")]
    perplexity = np.exp(np.mean(baselines))
    x_range = [line.trained_length.iloc[0], line.context_length.max()]
    axes.plot(x_range, [perplexity, perplexity], ":", color=color, linewidth=1, alpha=0.7)


def set_log_axes(axes: Axes, lengths: list[int]) -> None:
    """Make both axes logarithmic, with ticks at `lengths` and at plain perplexities."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plain_log_ticks(axes)


def plain_log_ticks(axes: Axes) -> None:
    """Label perplexities with plain numbers (10, 20, 50, ...) instead of powers of ten."""
    low, high = axes.get_ylim()
    steps = (1, 2, 5) if high / low > 20 else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [step * 10.0**power for power in range(-1, 9) for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
