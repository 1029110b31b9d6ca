"""The zoo as one picture: python scripts/plot_zoo.py results/zoo/curves.csv --out figure.png

Rows are schemes, columns are context lengths. A number is a perplexity; its color is the difference
in nats to the RoPE run at its training length. Trained schemes are on the left, extensions of the
RoPE runs and others on the right, each from the best to the worst at 8 times the training length.
Factors are matched.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from posext.analysis import curves, same_targets
from posext.cli import app
from posext.config import HEADLINE
from posext.report.pyplot import plt
from posext.utils.errors import PosextError

COLOR_LIMIT = 0.8  # nats at which the color scale ends
LONGEST_MULTIPLE = 16  # longest context length, in training lengths
SORT_MULTIPLE = 8  # context length that rows are sorted by, in training lengths


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("curves", type=Path, help="a curves.csv file")
    parser.add_argument("--out", type=Path, default=Path("zoo.png"), help="the picture")
    options = parser.parse_args()
    rows = curves.select_factor(curves.of_runs([options.curves]), "matched")
    rows = rows.loc[
        (rows.protocol == HEADLINE)
        & (rows.context_length <= LONGEST_MULTIPLE * rows.original_length)
    ]
    same_targets.refuse_mixed_targets(rows)
    selections = {
        "trained with it": rows.extend == "",
        "put on the weights of RoPE, or of those named": rows.extend != "",
    }
    rope = rows.loc[
        (rows.scheme == "rope") & (rows.extend == "") & (rows.context_length == rows.trained_length)
    ]
    if not len(rope):
        raise PosextError(
            f"{options.curves} holds no curve of rope at its training length, "
            "which colors are relative to"
        )
    tables = {title: by_length(rows.loc[selected]) for title, selected in selections.items()}
    height = 1.4 + 0.24 * max(len(table) for table in tables.values())
    figure, axes = plt.subplots(1, 2, figsize=(13, height), layout="constrained")
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        draw_table(axis, table, float(rope.nll.mean()), f"{title} ({len(table)})")
    figure.savefig(options.out, dpi=130)
    print(options.out)


def by_length(rows: pd.DataFrame) -> pd.DataFrame:
    """NLL by scheme (rows) and context length (columns), best first; undefined lengths last."""
    names = rows.extend.where(rows.extend != "", rows.scheme)
    on_others = (rows.extend != "") & (rows.scheme != "rope")
    names = names.where(~on_others, rows.scheme + " → " + names)
    names += np.where(rows.factor == "auto", ", s matched", "")
    longer = rows.trained_length > rows.original_length
    names = names.where(~longer, names + ", to " + rows.trained_length.astype(str))
    table = rows.assign(name=names).pivot_table(
        index="name", columns="context_length", values="nll", dropna=False
    )
    return table.sort_values(SORT_MULTIPLE * int(rows.original_length.iloc[0]), na_position="last")


def perplexity_text(nll: float) -> str:
    """A perplexity in three digits; a dash if it is undefined."""
    if np.isnan(nll):
        return "–"
    digits = 0 if nll > np.log(99.5) else 1
    return f"{np.exp(nll):.{digits}f}"


def draw_table(axes: Axes, table: pd.DataFrame, base: float, title: str) -> None:
    axes.imshow(
        table.to_numpy() - base, cmap="RdBu_r", vmin=-COLOR_LIMIT, vmax=COLOR_LIMIT, aspect="auto"
    )
    for (row, column), nll in np.ndenumerate(table.to_numpy()):
        color = "white" if abs(nll - base) > 0.6 * COLOR_LIMIT else "black"
        axes.text(
            column, row, perplexity_text(nll), ha="center", va="center", fontsize=8, color=color
        )
    axes.set_xticks(range(table.shape[1]), [str(length) for length in table.columns])
    axes.set_yticks(range(len(table)), table.index.tolist(), fontsize=8)
    axes.tick_params(length=0)
    axes.set_xlabel("context length (tokens)")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
