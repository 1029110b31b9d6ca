"""The chart of attention: layers by heads, or by rotary pairs, at each context length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from posext.analysis.retrieval import extension_label
from posext.report.pyplot import plt

PANEL = (1.1, 0.95)  # width and height in inches


class Row(NamedTuple):
    """A row of heat maps: a metric, its place within a layer, its label and its colors."""

    metric: str
    place: str
    label: str
    limits: tuple[float | None, float | None] = (None, None)
    log: bool = False


# A panel for each context length.
ROWS = (
    Row("entropy_share", "head", "entropy / ln keys", (0, 1)),
    Row("distance", "head", "distance (tokens)", (1, None), log=True),
    Row("first_token", "head", "on first token", (0, 1)),
    Row("largest_logit", "head", "largest logit"),
    Row("query_norm", "pair", "query pairs", (0, None)),
    Row("key_norm", "pair", "key pairs", (0, None)),
)
# One panel each, with context lengths as columns.
LAYERS = (
    Row("hidden_norm_ratio", "context_length", "hidden norm / in range"),
    Row("hidden_cosine", "context_length", "cosine to in-range mean"),
)


def draw_attention(rows: pd.DataFrame, path: Path, title: str, trained_length: int) -> None:
    """Write a figure with a block of heat maps for each extension and factor.

    Layers grow downwards. The colors of a row of panels are the same.

    Args:
        rows: rows of attention.csv, of one run.
        path: the file to write; its suffix gives the format.
        title: the heading of the figure.
        trained_length: the training length in tokens, which is named where it was measured.
    """
    curves = cast(Any, list(rows.groupby(["extend", "factor"], sort=False)))
    shown = [[row for row in ROWS if (curve.metric == row.metric).any()] for _, curve in curves]
    heights = [0.8 + PANEL[1] * (len(rows_of_curve) + 1.4) for rows_of_curve in shown]
    width = 2.2 + PANEL[0] * max(3, rows.context_length.nunique())
    figure = plt.figure(figsize=(width, 0.3 + sum(heights)), layout="constrained")
    blocks = np.atleast_1d(cast(Any, figure.subfigures(len(curves), 1, height_ratios=heights)))
    for block, ((extend, factor), curve), head_rows in zip(blocks, curves, shown, strict=True):
        upper, lower = block.subfigures(2, 1, height_ratios=[len(head_rows), 1.4])
        block.suptitle(extension_label(str(extend), str(factor)), fontsize=9)
        draw_rows(upper, curve, head_rows, trained_length)
        draw_layers(lower, curve)
    heading = f"{title}\nlayers by heads or rotary pairs, at each context length"
    figure.suptitle(heading, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_rows(block: Any, curve: pd.DataFrame, shown: Sequence[Row], trained_length: int) -> None:
    """Draw the panels that there are for each context length."""
    lengths = sorted(int(length) for length in curve.context_length.unique())
    panels = block.subplots(len(shown), len(lengths), squeeze=False)
    for row, of_row in zip(shown, panels, strict=True):
        values = curve.loc[curve.metric == row.metric]
        norm = norm_of(row, values)
        image = None
        for axes, length in zip(of_row, lengths, strict=True):
            grid = values.loc[values.context_length == length]
            image = draw_grid(
                axes, grid.pivot(index="layer", columns=row.place, values="value"), norm
            )
        of_row[0].set_ylabel(row.label, fontsize=7)
        bar = block.colorbar(image, ax=list(of_row), aspect=8, pad=0.01)
        bar.ax.tick_params(labelsize=6)
    for axes, length in zip(panels[0], lengths, strict=True):
        trained = "\n(trained)" if length == trained_length else ""
        axes.set_title(f"{length:,}{trained}", fontsize=7)


def draw_layers(block: Any, curve: pd.DataFrame) -> None:
    """Draw the panels of hidden states; none where nothing was in range."""
    shown = [row for row in LAYERS if (curve.metric == row.metric).any()]
    if not shown:
        return
    for axes, row in zip(block.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        values = curve.loc[curve.metric == row.metric]
        table = values.pivot(index="layer", columns=row.place, values="value")
        image = draw_grid(axes, table, norm_of(row, values))
        axes.set_xticks(range(len(table.columns)), [f"{n:g}" for n in table.columns], fontsize=6)
        axes.set_title(row.label, fontsize=7)
        block.colorbar(image, ax=axes, aspect=8, pad=0.02).ax.tick_params(labelsize=6)


def draw_grid(axes: Axes, table: pd.DataFrame, norm: Normalize) -> Any:
    """Draw one heat map, with a layer in each row."""
    image = axes.imshow(table.to_numpy(float), cmap="viridis", norm=norm, aspect="auto")
    axes.set_xticks([])
    axes.set_yticks(range(len(table)), [f"{layer:g}" for layer in table.index], fontsize=6)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def norm_of(row: Row, values: pd.DataFrame) -> Normalize:
    """The colors of a row of panels, from the lowest to the highest value unless it has limits."""
    low, high = row.limits
    low = float(values.value.min()) if low is None else low
    high = float(values.value.max()) if high is None else high
    return LogNorm(low, max(high, 2 * low), clip=True) if row.log else Normalize(low, high)
