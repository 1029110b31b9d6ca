"""Retrieval by scheme: python scripts/plot_recall.py results/recall/retrieval.csv --out FOLDER

For each task FOLDER/TASK.png has a heat map of each scheme, by depth and context length, over all
seeds. FOLDER/table.md has the share of exact answers over all depths.
"""

from pathlib import Path
from typing import Any, cast

import pandas as pd
from tabulate import tabulate

from posext.analysis import retrieval
from posext.cli import app
from posext.report.heatmap import draw_panel
from posext.report.pyplot import plt

COLUMNS = 3  # panels side by side
CURVE = ["scheme", "extend", "factor"]
CELL = ["context_length", "depth", "distance", "condition"]


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("answers", type=Path, help="a retrieval.csv of `posext collect`")
    parser.add_argument("--out", type=Path, default=Path(), help="the folder to write to")
    options = parser.parse_args()
    rows = retrieval.read_collected(options.answers)
    for task, task_rows in rows.groupby("task", sort=False):
        draw(task_rows, f"{task}: exact answers", options.out / f"{task}.png")
    (options.out / "table.md").write_text(f"{table(rows)}\n")


def draw(rows: pd.DataFrame, title: str, out: Path) -> None:
    """Write the heat maps of one task, a panel for each scheme and extension."""
    cells = retrieval.over_trials(rows, [*CURVE, *CELL])
    panels = cast(Any, list(cells.groupby(CURVE, sort=False)))
    lengths = sorted(rows.context_length.unique())
    trained = int(rows.trained_length.max())
    n_rows = -(-len(panels) // COLUMNS)
    figure, grid = plt.subplots(
        n_rows,
        COLUMNS,
        figsize=(COLUMNS * (1.2 + 0.55 * len(lengths)), n_rows * (1.3 + 0.3 * 6)),
        layout="constrained",
        squeeze=False,
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (key, panel) in zip(grid.flat, panels, strict=False):
        draw_panel(axes, panel, lengths, trained)
        axes.set_title(label(*key), fontsize=9, pad=14)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.supxlabel("context length (tokens)", fontsize=9)
    figure.supylabel("depth, from the start of the context to its end", fontsize=9)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def table(rows: pd.DataFrame) -> str:
    """Return the share of exact answers over depths and seeds, in Markdown: a row for each curve.

    In brackets stands the range over seeds, where there is one.
    """
    needles = rows.loc[rows.condition == "needle"]
    by_seed = retrieval.over_trials(needles, ["task", *CURVE, "seed", "context_length"])
    cells = by_seed.pivot_table(
        "accuracy", ["task", *CURVE], "context_length", aggfunc=range_of_seeds, sort=False
    )
    lines = [
        [task, label(*key), *values]
        for (task, *key), values in zip(cells.index, cells.fillna("").to_numpy(), strict=True)
    ]
    headers = ["task", "scheme", *(f"{length:,.0f}" for length in cells.columns)]
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def range_of_seeds(shares: pd.Series) -> str:
    """The mean over seeds, and their range."""
    if len(shares) == 1:
        return f"{shares.iloc[0]:.2f}"
    return f"{shares.mean():.2f} ({shares.min():.2f} to {shares.max():.2f})"


def label(scheme: str, extend: str, factor: str) -> str:
    """The name of a scheme, and of the extension that was put on its weights."""
    return f"{scheme} → {retrieval.extension_label(extend, factor)}" if extend else scheme


if __name__ == "__main__":
    main()
