"""Loss against tokens seen, at a fixed length: python scripts/more_tokens.py results/more_tokens

figure.png has, for each size and multiple of the training length, the loss there over the tokens
seen, a line for each scheme: full along one run, dashed in separate runs. table.md has what each
doubling of the tokens changes in nats, by multiple, with t intervals over seeds.
"""

import re
from pathlib import Path
from typing import Any, cast

import pandas as pd
from omegaconf import OmegaConf
from tabulate import tabulate

from posext.analysis import curves, seed_spread
from posext.cli import app
from posext.config import HEADLINE
from posext.report.pyplot import plt

MULTIPLES = (1, 4, 16)  # of the training length
ALONG = "along one run"
SEPARATE = "separate runs"


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("study", type=Path, help="a folder that posext collect wrote")
    folder = parser.parse_args().study
    rows = with_tokens(folder)
    (folder / "table.md").write_text(f"{table(rows)}\n")
    draw(rows, folder / "figure.png")
    print(folder)


def with_tokens(folder: Path) -> pd.DataFrame:
    """The curves as trained, with the tokens that each run or kept step has seen.

    `way` is ALONG for the steps that a run keeps, else SEPARATE: the rate has fallen at the end of
    every run, and at no step before it. `multiple` is the context over the training length.
    """
    rows = curves.of_runs([folder / "curves.csv"])
    rows = rows.loc[(rows.protocol == HEADLINE) & (rows.extend == "")]
    seen, ways = {}, {}
    for run in rows.run.unique():
        config: Any = OmegaConf.load(folder / "configs" / f"{run}.yaml")
        kept = re.search(r"-step-(\d+)$", run)
        steps = int(kept[1]) if kept else config.steps
        seen[run] = steps * config.tokens_per_step
        ways[run] = ALONG if kept else SEPARATE
    multiple = (rows.context_length / rows.trained_length).astype(int)
    rows = rows.assign(tokens_seen=rows.run.map(seen), way=rows.run.map(ways), multiple=multiple)
    return rows.loc[rows.multiple.isin(MULTIPLES)]


def draw(rows: pd.DataFrame, out: Path) -> None:
    """Draw a panel for each size (rows) and multiple (columns)."""
    sizes = list(dict.fromkeys(rows.model))
    figure, grid = plt.subplots(
        len(sizes),
        len(MULTIPLES),
        figsize=(4 * len(MULTIPLES), 3.2 * len(sizes)),
        layout="constrained",
        squeeze=False,
    )
    colors = {scheme: f"C{index}" for index, scheme in enumerate(dict.fromkeys(rows.scheme))}
    for line_of_axes, size in zip(grid, sizes, strict=True):
        for axes, multiple in zip(line_of_axes, MULTIPLES, strict=True):
            shown = rows.loc[(rows.model == size) & (rows.multiple == multiple)]
            for key, line in shown.groupby(["scheme", "way"], sort=False):
                scheme, way = cast(tuple[str, str], key)
                mean = line.groupby("tokens_seen").nll.mean()
                label = scheme if way == ALONG else None
                style = "-" if way == ALONG else "--"
                axes.plot(mean.index, mean, style, marker="o", color=colors[scheme], label=label)
            axes.set_xscale("log", base=2)
            axes.set_title(f"{size}, {multiple} times the training length", fontsize=9)
            axes.set_xlabel("tokens seen", fontsize=9)
            axes.set_ylabel("nats a token", fontsize=9)
    grid[0][0].legend(fontsize=8)
    figure.savefig(out, dpi=130)
    plt.close(figure)


def table(rows: pd.DataFrame) -> str:
    """What the last doubling of the tokens changes, and all of them, by multiple, in Markdown."""
    lines = []
    for key, line in rows.groupby(["model", "way", "scheme"], sort=False):
        by_seed = line.pivot_table("nll", ["multiple", "seed"], "tokens_seen")
        first, *_, before, last = sorted(by_seed.columns)
        cells = []
        for multiple in MULTIPLES:
            losses = by_seed.loc[multiple]
            cells += [change(losses, before, last), change(losses, first, last)]
        lines.append([*cast(tuple, key), *cells])
    headers = ["model", "way", "scheme"]
    for multiple in MULTIPLES:
        headers += [f"{multiple}x: last doubling", f"{multiple}x: first to last"]
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def change(losses: pd.DataFrame, before: float, after: float) -> str:
    """The change of the loss between two numbers of tokens, over seeds, with its t interval."""
    differences = (losses[after] - losses[before]).dropna().tolist()
    over = seed_spread.over_seeds(differences)
    return f"{over.mean:+.3f} [{over.low:+.3f}, {over.high:+.3f}]"


if __name__ == "__main__":
    main()
