"""The zoo as one picture: python scripts/plot_zoo.py results/zoo/curves.csv --out figure.png

A row for each scheme, a column for each context length; the number is perplexity, the colour how many nats it lies above or
below that of the RoPE run at its training length. Trained schemes left, those put on the RoPE run's weights right, each from
the best to the worst at 8 times the training length; factors matched.
"""

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from posext.analysis import curves
from posext.cli import app
from posext.config import HEADLINE
from posext.utils.errors import PosextError

SHOWN = 0.8  # nats at which colours end
FURTHEST = 16  # times the training length
AT = 8  # times the training length, by which rows are sorted


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--out", type=Path, default=Path("zoo.png"))
    options = parser.parse_args()
    rows = curves.select_factor(curves.of_runs([options.curves]), "matched")
    rows = rows.loc[
        (rows.protocol == HEADLINE) & (rows.context_length <= FURTHEST * rows.original_length)
    ]
    curves.refuse_mixed_targets(rows)
    parts = {
        "trained with it": rows.extend == "",
        "put on the weights of the RoPE run": rows.extend != "",
    }
    rope = rows.loc[
        (rows.scheme == "rope") & (rows.extend == "") & (rows.context_length == rows.trained_length)
    ]
    if not len(rope):
        raise PosextError(
            f"{options.curves} holds no curve of rope at its training length, which colours are relative to"
        )
    tables = {title: by_length(rows.loc[chosen]) for title, chosen in parts.items()}
    height = 1.4 + 0.24 * max(len(table) for table in tables.values())
    figure, axes = plt.subplots(1, 2, figsize=(13, height), layout="constrained")
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        heat(axis, table, float(rope.nll.iloc[0]), f"{title} ({len(table)})")
    figure.savefig(options.out, dpi=130)
    print(options.out)


def by_length(rows: pd.DataFrame) -> pd.DataFrame:
    """NLL by scheme (rows) and context length (columns), best first; undefined lengths last."""
    names = rows.extend.where(rows.extend != "", rows.scheme)
    names += np.where(rows.factor == "auto", ", s matched", "")
    longer = rows.trained_length > rows.original_length
    names = names.where(~longer, names + ", to " + rows.trained_length.astype(str))
    table = rows.assign(name=names).pivot_table(
        index="name", columns="context_length", values="nll", dropna=False
    )
    return table.sort_values(AT * int(rows.original_length.iloc[0]), na_position="last")


def heat(axes: Axes, table: pd.DataFrame, base: float, title: str) -> None:
    axes.imshow(table.to_numpy() - base, cmap="RdBu_r", vmin=-SHOWN, vmax=SHOWN, aspect="auto")
    for (row, column), nll in np.ndenumerate(table.to_numpy()):
        text = (
            "–"
            if np.isnan(nll)
            else f"{np.exp(nll):.0f}"
            if nll > np.log(99.5)
            else f"{np.exp(nll):.1f}"
        )
        colour = "white" if abs(nll - base) > 0.6 * SHOWN else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(table.shape[1]), [str(length) for length in table.columns])
    axes.set_yticks(range(len(table)), table.index.tolist(), fontsize=8)
    axes.tick_params(length=0)
    axes.set_xlabel("context length (tokens)")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
