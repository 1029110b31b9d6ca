"""Losses by scheme, settings, optimizer and learning rate, over seeds.

    python scripts/learning_rates.py results/runs/learning_rates/* --out results/learning_rates

Writes rates.csv, a row for each run, and table.md, a row for each setting over its seeds.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis import curves
from posext.cli import app
from posext.config import HEADLINE, TrainConfig
from posext.runs import tracking
from posext.runs.run import Run, load_run

ROPE_BASE = 10000.0
SETTING = [
    "model",
    "scheme",
    "settings",
    "optimizer",
    "learning_rate",
    "steps",
    "tokens_per_step",
]


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of measured runs")
    parser.add_argument("--out", type=Path, required=True, help="folder for rates.csv and table.md")
    options = parser.parse_args()
    rates = pd.DataFrame([losses(load_run(folder)) for folder in options.runs])
    rates = rates.sort_values([*SETTING, "seed"], ignore_index=True)
    options.out.mkdir(parents=True, exist_ok=True)
    rates.round(6).to_csv(options.out / "rates.csv", index=False)
    (options.out / "table.md").write_text(over_seeds(rates) + "\n")
    print(options.out)


def losses(run: Run) -> dict[str, object]:
    """A run's setting, its NLL at each context length as trained, and its last validation loss."""
    table = curves.read_curves(run.folder / "curves.csv")
    own = table.loc[(table.extend == "") & (table.protocol == HEADLINE)]
    rows = tracking.read_metrics(run.folder / "metrics.jsonl")
    validation = [row["validation_loss"] for row in rows if "validation_loss" in row]
    config = run.config
    settings = {key: value for key, value in config.pe.items() if key.endswith("std")}
    if (base := config.pe.get("base", ROPE_BASE)) != ROPE_BASE:
        settings["base"] = base
    default = asdict(type(config.optimizer)())
    chosen = asdict(config.optimizer)
    settings |= {key: value for key, value in chosen.items() if value != default[key]}
    if config.precision != TrainConfig.precision:
        settings["precision"] = config.precision
    return {
        "model": config.model.name,
        "scheme": config.title(),
        "settings": ", ".join(f"{key}={value}" for key, value in settings.items()),
        "optimizer": config.optimizer.kind,
        "learning_rate": config.learning_rate,
        "steps": config.steps,
        "tokens_per_step": config.tokens_per_step,
        "seed": config.seed,
        "validation_loss": validation[-1],
        **{f"nll_{length}": nll for length, nll in zip(own.context_length, own.nll, strict=True)},
    }


def over_seeds(rates: pd.DataFrame) -> str:
    """A Markdown table of mean and standard deviation over seeds, in nats."""
    measured = [name for name in rates if name not in (*SETTING, "seed")]
    cells = []
    for _, runs in rates.groupby(SETTING, sort=False):
        setting = runs.iloc[0][SETTING].tolist()
        cells.append([*setting, len(runs), *(spread(runs[name].to_numpy()) for name in measured)])
    return tabulate(cells, headers=[*SETTING, "seeds", *measured], tablefmt="github")


def spread(values: np.ndarray) -> str:
    """Mean and standard deviation over seeds, if several; empty if the scheme is undefined."""
    if np.isnan(values).any():
        return ""
    deviation = f" ±{values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{deviation}"


if __name__ == "__main__":
    main()
