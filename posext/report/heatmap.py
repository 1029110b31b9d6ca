"""The heat map of retrieval: accuracy by context length and depth."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from posext.analysis.retrieval import extension_label
from posext.report.pyplot import annotate_trained_length, plt


def draw_heat_map(
    rows: pd.DataFrame, path: Path, title: str = "", train_length: int | None = None
) -> None:
    """Write a heat map with one panel for each extension and factor.

    The last row of a panel is the control, over all depths. A vertical line separates the lengths
    up to the training length from longer ones; a number is bold if the pair lies farther back than
    the training length. Lengths at which a scheme could not be measured are blank.

    Args:
        rows: rows of retrieval.csv, of one task.
        path: the file to write; its suffix gives the format.
        title: the heading of the figure.
        train_length: the training length in tokens; None for no line.
    """
    lengths = sorted(rows.context_length.unique())
    panels = cast(Any, list(rows.groupby(["extend", "factor"], sort=False)))
    width = max(4.0, 1.5 + 0.75 * len(lengths) * len(panels))
    height = 1.6 + 0.4 * (rows.depth.nunique() + 1)
    figure, axes_grid = plt.subplots(
        1, len(panels), figsize=(width, height), layout="constrained", sharey=True, squeeze=False
    )
    for axes, ((extend, factor), panel) in zip(axes_grid[0], panels, strict=True):
        draw_panel(axes, panel, lengths, train_length)
        axes.set_title(extension_label(str(extend), str(factor)), fontsize=9, pad=14)
    axes_grid[0, 0].set_ylabel("depth of the pair (0: the start)")
    figure.supxlabel("context length (tokens)", fontsize=10)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_panel(
    axes: Axes, panel: pd.DataFrame, lengths: list[int], train_length: int | None
) -> None:
    """Draw the accuracies of one extension, with the control in the last row."""
    needle = panel.loc[panel.condition == "needle"]
    accuracy = by_depth_and_length(needle, "accuracy", lengths)
    distance = by_depth_and_length(needle, "distance", lengths)
    control_counts = panel.loc[panel.condition == "control"].groupby("context_length")
    control = control_counts.correct.sum() / control_counts.trials.sum()
    grid = np.vstack([accuracy.to_numpy(float), control.reindex(lengths).to_numpy(float)])
    axes.imshow(grid, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (y, x), share in np.ndenumerate(grid):
        if np.isnan(share):
            continue
        is_needle = y < len(distance)
        beyond = train_length is not None and is_needle and distance.iloc[y, x] > train_length
        axes.text(
            x,
            y,
            f"{share:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share > 0.6 else "0.2",
            weight="bold" if beyond else "normal",
        )
    axes.axhline(len(accuracy) - 0.5, color="white", linewidth=3)
    depth_labels = [f"{depth:g}" for depth in accuracy.index]
    axes.set_yticks(range(len(grid)), [*depth_labels, "control"], fontsize=8)
    axes.set_xticks(range(len(lengths)), [str(length) for length in lengths], fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if train_length is not None:
        edge = int(np.searchsorted(lengths, train_length, side="right")) - 0.5
        axes.axvline(edge, color="0.4", linewidth=0.8, linestyle="--")
        annotate_trained_length(axes, train_length, x=edge, offset=(3, 2), fontsize=7)


def by_depth_and_length(rows: pd.DataFrame, column: str, lengths: list[int]) -> pd.DataFrame:
    """A column as a table of depths (rows) and context lengths (columns)."""
    table = rows.pivot(index="depth", columns="context_length", values=column)
    return table.reindex(columns=lengths)
