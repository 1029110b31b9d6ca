"""The chart of accuracy over the length of examples: a panel for each task and metric."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from posext.analysis.accuracy import EXACT, METRICS, NORMALIZED, OVER_SEEDS
from posext.analysis.accuracy_summary import line_label
from posext.report.lines import mean_and_band
from posext.report.pyplot import annotate_trained_length, plt

COLUMNS = 5  # panels side by side
MAX_BANDS = 4  # lines of a panel up to which bands are shaded; more would hide the lines
AXIS_TITLES = {"exact": "exact match", "normalized": "normalized accuracy (0: a guess)"}


def draw_accuracy(
    rows: pd.DataFrame, path: Path, metrics: Sequence[str] = tuple(METRICS), title: str = ""
) -> None:
    """Write the chart.

    A line is the mean over seeds; the band of a few lines is the interval of one seed, or the range
    of several.

    Args:
        rows: Rows of accuracy.csv.
        path: The file to write; its suffix gives the format.
        metrics: Keys of METRICS.
        title: The heading.
    """
    panels = [
        (str(task), of_task, metric)
        for task, of_task in rows.groupby("task", sort=False)
        for metric in metrics
    ]
    across = min(COLUMNS, len(panels))
    down = -(-len(panels) // across)
    figure, grid = plt.subplots(
        down,
        across,
        figsize=(1 + 2.6 * across, 0.8 + 2.4 * down),
        layout="constrained",
        squeeze=False,
    )
    keys = rows.loc[:, OVER_SEEDS].drop_duplicates().itertuples(index=False, name=None)
    styles = {
        key: f"C{number % 10}{'-' if number < 10 else '--'}" for number, key in enumerate(keys)
    }
    for axes, (task, of_task, metric) in zip(grid.flat, panels, strict=False):
        for key, line in of_task.groupby(OVER_SEEDS, sort=False):
            label = line_label(*map(str, cast(Any, key)))
            draw_line(axes, line, metric, styles[cast(Any, key)], label, len(styles) <= MAX_BANDS)
        finish(axes, of_task)
        axes.set_title(task, fontsize=9, loc="left", pad=14)
        axes.set_ylabel(AXIS_TITLES[metric] if len(metrics) > 1 or axes in grid[:, 0] else "")
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    pairs = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in grid.flat]
    handles = {label: handle for of_axes in pairs for handle, label in of_axes}
    figure.legend(
        list(handles.values()), list(handles), loc="outside right upper", fontsize=8, frameon=False
    )
    figure.supxlabel("length of examples", fontsize=10)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def line_values(line: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the mean over seeds of a metric by length, with its band: mean, low and high."""
    value, low, high = EXACT if metric == "exact" else NORMALIZED
    by_length = line.groupby("length")
    return mean_and_band(by_length, value, (low, high), line.seed.nunique() == 1).astype(float)


def draw_line(
    axes: Axes, line: pd.DataFrame, metric: str, style: str, label: str, with_band: bool
) -> None:
    """Draw one line, and its band unless there are too many."""
    values = line_values(line, metric)
    lengths = values.index.to_numpy()
    drawn = axes.plot(
        lengths, values["mean"].to_numpy(), style, marker="o", markersize=3, label=label
    )
    if with_band:
        color = drawn[0].get_color()
        axes.fill_between(lengths, values.low, values.high, color=color, alpha=0.12, linewidth=0)


def finish(axes: Axes, rows: pd.DataFrame) -> None:
    """Set the axes of a panel, and mark the longest length trained."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted(rows.length.unique())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(min(0.0, float(np.nanmin(axes.get_ylim()))), 1.03)
    for length in sorted(rows.trained_length.unique()):
        axes.axvline(length, color="0.6", linewidth=0.8, zorder=0)
    annotate_trained_length(axes, int(rows.trained_length.max()), length, (3, 1), 7)
    axes.tick_params(labelsize=7)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
