"""The figures and the table of results/extension: python scripts/extension.py results/extension

figure.png has perplexity by context length after the most steps, cost.png perplexity at 4 and 16
times the original length by the tokens of continued training, table.md the losses at both over
seeds, with the paired difference to the parents as trained.
"""

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from tabulate import tabulate

from posext.analysis import curves, seed_spread
from posext.cli import app
from posext.config import HEADLINE
from posext.report.curve_plot import plain_log_ticks, set_log_axes
from posext.report.pyplot import plt

MULTIPLES = (4, 16)  # of the original length


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("study", type=Path, help="a folder that posext collect wrote")
    folder = parser.parse_args().study
    rows = recipes(folder)
    (folder / "table.md").write_text(table(rows) + "\n")
    draw_cost(rows, folder / "cost.png")
    draw_lengths(rows, folder / "figure.png")
    print(folder)


def recipes(folder: Path) -> pd.DataFrame:
    """The rows of curves.csv with the recipe, the steps added, and the parent of each run."""
    rows = curves.select_factor(curves.of_runs([folder / "curves.csv"]), "matched")
    rows = rows.loc[(rows.protocol == HEADLINE)]
    files = {run: folder / "configs" / f"{run}.yaml" for run in rows.run.unique()}
    steps = {run: cast(DictConfig, OmegaConf.load(file)).steps for run, file in files.items()}
    continued = rows.lineage != ""
    added = rows.run.map(steps).where(continued, 0)
    # what is trained from scratch to another length is a line to compare with
    reference = ~continued & (rows.trained_length > rows.original_length)
    reference |= ~continued & (rows.original_length > rows.original_length.min())
    names = rows.extend.where(rows.extend != "", rows.scheme)
    names = names.where(rows.extend.eq("") | ~continued, rows.scheme + " → " + rows.extend)
    return rows.assign(recipe=names, added=added, reference=reference)


def table(rows: pd.DataFrame) -> str:
    """Losses in nats at MULTIPLES of the original length, and their differences to the parents."""
    original = rows.original_length.min()
    parents = rows.loc[(rows.recipe == "rope") & (rows.added == 0) & ~rows.reference]
    cells = []
    for key, runs in rows.groupby(["recipe", "added", "reference"]):
        recipe, added, reference = cast(tuple[str, int, bool], key)
        cell = [f"{recipe}, from scratch" if reference else recipe, added, runs.seed.nunique()]
        for multiple in MULTIPLES:
            nll = at(runs, multiple * original)
            cell.append(f"{nll.mean():.3f}")
            difference = (nll - at(parents, multiple * original)).dropna()
            if len(difference) > 1:
                seeds = seed_spread.over_seeds(difference.tolist())
                cell.append(f"{seeds.mean:+.3f} [{seeds.low:+.3f}, {seeds.high:+.3f}]")
            else:
                cell.append(f"{difference.mean():+.3f}")
        cells.append(cell)
    headers = ["scheme", "steps added", "seeds"]
    for multiple in MULTIPLES:
        headers += [f"{multiple} times", f"{multiple} times, to rope as trained"]
    return tabulate(cells, headers=headers, tablefmt="github", disable_numparse=True)


def at(runs: pd.DataFrame, length: int) -> pd.Series:
    """NLL at a context length by seed."""
    return runs.loc[runs.context_length == length].groupby("seed").nll.mean()


def draw_cost(rows: pd.DataFrame, path: Path) -> None:
    """Draw the mean perplexity at MULTIPLES by the steps added; references are horizontal."""
    original = rows.original_length.min()
    figure, panels = plt.subplots(1, len(MULTIPLES), figsize=(11, 4.5), layout="constrained")
    for axes, multiple in zip(panels, MULTIPLES, strict=True):
        here = rows.loc[rows.context_length == multiple * original]
        for number, (recipe, runs) in enumerate(here.groupby("recipe", sort=False)):
            color = f"C{number % 10}"
            mean = runs.loc[~runs.reference].groupby("added").nll.mean()
            if len(mean):
                axes.plot(mean.index, np.exp(mean), "o-", color=color, markersize=3, label=recipe)
            reference = runs.loc[runs.reference].nll.mean()
            if not np.isnan(reference):
                label = f"{recipe}, from scratch"
                axes.axhline(np.exp(reference), color=color, linestyle=":", label=label)
        axes.set_yscale("log")
        plain_log_ticks(axes)
        axes.set_title(f"{multiple} times the original length", fontsize=10, loc="left")
        axes.set_xlabel("steps of continued training")
        axes.set_ylabel("perplexity")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_lengths(rows: pd.DataFrame, path: Path) -> None:
    """Draw the mean perplexity by context length, of every recipe after its most steps."""
    figure, axes = plt.subplots(figsize=(9.5, 5), layout="constrained")
    groups = rows.groupby(["recipe", "reference"], sort=False)
    for number, (key, runs) in enumerate(groups):
        recipe, reference = cast(tuple[str, bool], key)
        last = runs.loc[runs.added == runs.added.max()]
        mean = last.groupby("context_length").nll.mean()
        added = f", +{last.added.iloc[0]} steps" if last.added.iloc[0] else ""
        label = f"{recipe}, from scratch" if reference else f"{recipe}{added}"
        style = ":" if reference else "-"
        axes.plot(mean.index, np.exp(mean), style, color=f"C{number % 10}", label=label)
    set_log_axes(axes, sorted(rows.context_length.unique()))
    axes.set_xlabel("context length (tokens); the same target tokens at every length")
    axes.set_ylabel("perplexity")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
