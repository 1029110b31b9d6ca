"""The figures and the table of results/extension: python scripts/extension.py results/extension

figure.png has perplexity by context length after the most steps, cost.png perplexity at 4 and 16
times the original length by the operations of continued training, table.md the losses at the
original length and at both, with paired differences over seeds: to the parents as trained, and to
RoPE trained on at the same length for as many steps without any scaling.
"""

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from costs import forward
from omegaconf import DictConfig, OmegaConf
from tabulate import tabulate

from posext.analysis import curves, seed_spread
from posext.cli import app
from posext.config import HEADLINE, LengthConfig, ModelConfig, StageConfig
from posext.report.curve_plot import plain_log_ticks, set_log_axes
from posext.report.pyplot import plt
from posext.training.schedules import schedule

MULTIPLES = (1, 4, 16)  # of the original length
DRAWN = ("linear", "ntk", "yarn", "longrope", "rope", "rope, base 5e+05", "alibi", "fox")
KEY = ["recipe", "added", "kind"]
PARENT = "rope"


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
    """The rows of curves.csv with what was done to get each.

    `kind` is continued, zero-shot (a parent as it is, or extended) or scratch (to compare with);
    `recipe` names the scheme and what sets it apart, `added` is the steps of continued training,
    `cost` the operations of it in those of the parents' training.
    """
    rows = curves.select_factor(curves.of_runs([folder / "curves.csv"]), "matched")
    rows = rows.loc[rows.protocol == HEADLINE]
    files = {run: folder / "configs" / f"{run}.yaml" for run in rows.run.unique()}
    configs = {run: cast(DictConfig, OmegaConf.load(file)) for run, file in files.items()}
    continued = rows.lineage != ""
    scratch = ~continued & (rows.trained_length > rows.original_length)
    scratch |= ~continued & (rows.original_length > rows.original_length.min())
    kind = np.where(continued, "continued", np.where(scratch, "scratch", "zero-shot"))
    names = {run: described(config) for run, config in configs.items()}
    parents = rows.loc[~continued & ~scratch, "run"].unique()
    unit = float(np.mean([operations(configs[run]) for run in parents]))
    costs = {run: operations(config) / unit for run, config in configs.items()}
    steps = {run: config.steps for run, config in configs.items()}
    zero_shot = ~continued & (rows.extend != "")
    return rows.assign(
        recipe=rows.extend.where(zero_shot, rows.run.map(names)),
        added=rows.run.map(steps).where(continued, 0),
        kind=kind,
        cost=rows.run.map(costs).where(continued | scratch, 0.0),
    )


def described(config: DictConfig) -> str:
    """Return the scheme of a run, with what sets it apart from the others of the study."""
    name = config.pe.name
    if config.position_ids is not None:
        name += f"+{config.position_ids.name}"
    if config.pe.get("base", 10000.0) != 10000.0:
        name += f", base {config.pe.base:.3g}"
    if name == "yarn" and config.init.path and len(config.length.stages) > 1:
        name += ", two stages"
    at_original = config.train_length == config.original_length
    return f"{name}, at {config.train_length}" if config.init.path and at_original else name


def operations(config: DictConfig) -> float:
    """Operations of a run's training: three forward passes of every token."""
    stages = [StageConfig(**stage) for stage in config.length.stages]
    model = ModelConfig(**{**config.model, "path": None})
    begin = 0
    total = 0.0
    for end, length, _ in schedule(LengthConfig(stages), config.train_length, config.steps).stages:
        tokens = (end - begin) * config.tokens_per_step
        total += 3 * tokens * forward(model, length, config.data.vocab_size)
        begin = end
    return total


def table(rows: pd.DataFrame) -> str:
    """Losses in nats at MULTIPLES of the original length, with differences over seeds."""
    original = rows.original_length.min()
    parents = rows.loc[(rows.recipe == PARENT) & (rows.kind == "zero-shot")]
    cells = []
    for key, runs in rows.groupby(KEY):
        recipe, added, kind = cast(tuple[str, int, str], key)
        control = PARENT + "".join(recipe.partition(", at ")[1:])  # at the same length
        unscaled = rows.loc[(rows.recipe == control) & (rows.kind == kind) & (rows.added == added)]
        cell = [recipe, kind, added, f"{runs.cost.mean():.0%}", runs.seed.nunique()]
        for multiple in MULTIPLES:
            nll = at(runs, multiple * original)
            cell.append(f"{nll.mean():.3f}")
            cell.append(paired(nll - at(parents, multiple * original)))
            if multiple > 1:
                cell.append(paired(nll - at(unscaled, multiple * original)))
        cells.append(cell)
    headers = ["recipe", "", "steps", "cost", "seeds"]
    for multiple in MULTIPLES:
        headers += [f"nll at {multiple}x", "to the parents"]
        headers += ["to rope trained alike"] if multiple > 1 else []
    return tabulate(cells, headers=headers, tablefmt="github", disable_numparse=True)


def paired(differences: pd.Series) -> str:
    """Return the mean of differences by seed with its interval; nothing where all are 0."""
    known = differences.dropna()
    if len(known) < 2 or (known == 0).all():
        return ""
    seeds = seed_spread.over_seeds(known.tolist())
    return f"{seeds.mean:+.3f} [{seeds.low:+.3f}, {seeds.high:+.3f}]"


def at(runs: pd.DataFrame, length: int) -> pd.Series:
    """NLL at a context length by seed."""
    return runs.loc[runs.context_length == length].groupby("seed").nll.mean()


def draw_cost(rows: pd.DataFrame, path: Path) -> None:
    """Draw the mean perplexity at two MULTIPLES by cost; what is from scratch is horizontal."""
    original = rows.original_length.min()
    figure, panels = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for axes, multiple in zip(panels, MULTIPLES[1:], strict=True):
        here = rows.loc[rows.context_length == multiple * original]
        for number, recipe in enumerate(DRAWN):
            runs = here.loc[(here.recipe == recipe) & (here.kind != "scratch")]
            mean = runs.groupby("added")[["cost", "nll"]].mean()
            style = "o-" if number < 7 else "s--"
            color = f"C{number}"
            axes.plot(mean.cost, np.exp(mean.nll), style, color=color, markersize=4, label=recipe)
        for style, (recipe, runs) in zip(
            (":", "-."), here.loc[here.kind == "scratch"].groupby("recipe"), strict=False
        ):
            label = f"{recipe}, from scratch"
            axes.axhline(np.exp(runs.nll.mean()), color="black", linestyle=style, label=label)
        axes.set_yscale("log")
        plain_log_ticks(axes)
        axes.set_title(f"at {multiple} times the original length", fontsize=10, loc="left")
        axes.set_xlabel("operations of continued training, in those of the parents")
        axes.set_ylabel("perplexity")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_lengths(rows: pd.DataFrame, path: Path) -> None:
    """Draw the mean perplexity by context length, of each drawn recipe after its most steps."""
    figure, axes = plt.subplots(figsize=(9.5, 5), layout="constrained")
    parents = rows.loc[(rows.recipe == PARENT) & (rows.kind == "zero-shot")]
    curves_drawn = [(parents, "rope as trained", "black", "-")]
    for number, recipe in enumerate(DRAWN):
        runs = rows.loc[(rows.recipe == recipe) & (rows.kind == "continued")]
        last = runs.loc[runs.added == runs.added.max()]
        label = f"{recipe}, +{last.added.max()} steps"
        curves_drawn.append((last, label, f"C{number}", "-"))
    for style, (recipe, runs) in zip(
        (":", "-."), rows.loc[rows.kind == "scratch"].groupby("recipe"), strict=False
    ):
        curves_drawn.append((runs, f"{recipe}, from scratch", "black", style))
    for runs, label, color, style in curves_drawn:
        mean = runs.groupby("context_length").nll.mean()
        axes.plot(mean.index, np.exp(mean), style, color=color, label=label)
    set_log_axes(axes, sorted(rows.context_length.unique()))
    axes.set_xlabel("context length (tokens); the same target tokens at every length")
    axes.set_ylabel("perplexity")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
