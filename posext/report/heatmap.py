"""The heat map of retrieval: context length by depth, with the accuracy in each cell."""

from pathlib import Path
from typing import Any, cast

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from posext.analysis.retrieval import extension_label


def draw(rows: pd.DataFrame, path: Path, title: str = "", train_length: int | None = None) -> None:
    """Write the heat map of some rows, one panel for each extension and factor; below it the control, over all depths.

    A line parts the lengths up to the training length from those beyond; where the pair itself lies farther back than that,
    the number is bold. Lengths that a scheme could not be measured at are blank.
    """
    lengths, panels = (
        sorted(rows.context_length.unique()),
        cast(Any, list(rows.groupby(["extend", "factor"], sort=False))),
    )
    size = (
        max(4.0, 1.5 + 0.75 * len(lengths) * len(panels)),
        1.6 + 0.4 * (rows.depth.nunique() + 1),
    )
    figure, all_axes = plt.subplots(
        1, len(panels), figsize=size, layout="constrained", sharey=True, squeeze=False
    )
    for axes, ((extend, factor), panel) in zip(all_axes[0], panels, strict=True):
        one_panel(axes, panel, lengths, train_length)
        axes.set_title(extension_label(str(extend), str(factor)), fontsize=9, pad=14)
    all_axes[0, 0].set_ylabel("depth of the pair (0: the start)")
    figure.supxlabel("context length (tokens)", fontsize=10)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def one_panel(
    axes: Axes, panel: pd.DataFrame, lengths: list[int], train_length: int | None
) -> None:
    needle = panel.loc[panel.condition == "needle"]
    of_control = panel.loc[panel.condition == "control"].groupby("context_length")
    shares = needle.pivot(index="depth", columns="context_length", values="accuracy").reindex(
        columns=lengths
    )
    far = needle.pivot(index="depth", columns="context_length", values="distance").reindex(
        columns=lengths
    )
    control = (of_control.correct.sum() / of_control.trials.sum()).reindex(lengths)
    shown = np.vstack([shares.to_numpy(float), control.to_numpy(float)])
    axes.imshow(shown, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (y, x), share in np.ndenumerate(shown):
        beyond = train_length is not None and y < len(far) and far.iloc[y, x] > train_length
        if not np.isnan(share):
            colour, weight = "white" if share > 0.6 else "0.2", "bold" if beyond else "normal"
            axes.text(
                x,
                y,
                f"{share:.2f}",
                ha="center",
                va="center",
                fontsize=8,
                color=colour,
                weight=weight,
            )
    axes.axhline(len(shares) - 0.5, color="white", linewidth=3)
    axes.set_yticks(
        range(len(shown)), [*(f"{depth:g}" for depth in shares.index), "control"], fontsize=8
    )
    axes.set_xticks(range(len(lengths)), [str(length) for length in lengths], fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if train_length is not None:
        edge = int(np.searchsorted(lengths, train_length, side="right")) - 0.5
        axes.axvline(edge, color="0.4", linewidth=0.8, linestyle="--")
        axes.annotate(
            f"trained at {train_length}", (edge, 1), xycoords=("data", "axes fraction"), xytext=(3, 2),
            textcoords="offset points", fontsize=7, color="0.4",
        )  # fmt: skip
