"""What a model finds at every length of a plan, and what of it is left in the folder of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tabulate import tabulate

from posext.analysis.retrieval import CURVE, FILE, MEASURED, read, replace
from posext.config import EvaluationConfig
from posext.data.recall.episode import Settings
from posext.eval.curve import Plan
from posext.eval.protocols import RETRIEVAL
from posext.eval.retrieval.measure import measure
from posext.eval.retrieval.passkey import measure_passkey
from posext.report import heatmap
from posext.utils.atomic import replacing

TASKS: dict[str, Any] = dict(zip(RETRIEVAL, (measure, measure_passkey), strict=True))


def of_model(
    model: Any, plan: Plan, names: Sequence[str], config: EvaluationConfig, accelerator: Accelerator
) -> pd.DataFrame:
    """Rows of a task and MEASURED, for those of the protocols that are tasks; every process gets all of them.

    Lengths are dealt out to the processes; those at which a scheme is undefined are left out.
    """
    longest = getattr(getattr(model, "pe", None), "max_length", None)
    lengths = [n for n in plan.lengths if not longest or n <= longest]
    mine = lengths[accelerator.process_index :: accelerator.num_processes]
    settings, found = Settings(trials=config.trials, seed=config.seed), []
    for name in (name for name in names if name in TASKS):
        with torch.inference_mode(), accelerator.autocast():
            rows = TASKS[name](model, plan.tokens, mine, settings, device=accelerator.device)
        found.append(rows.assign(task=name))
    parts = [part for part in gather_object([pd.concat(found)] if found else []) if len(part)]
    if not parts:
        return pd.DataFrame(columns=["task", *MEASURED])
    return pd.concat(parts).sort_values(["task", "context_length", "depth"], kind="stable", ignore_index=True)


def write(folder: Path, rows: pd.DataFrame, extend: str, factor: str, trained: int, title: str) -> pd.DataFrame:
    """Rows into retrieval.csv in place of those of the same curve, and a heat map for each task; the rows."""
    rows = rows.assign(extend=extend, factor=factor)
    if len(rows):
        table = replace(read(folder / FILE), rows)
        with replacing(folder / FILE) as beside:
            table.to_csv(beside, index=False)
        for task, part in table.groupby("task", sort=False):
            heatmap.draw(part, folder / f"{task}.png", f"{title}: {task}", trained)
    return rows


def table(rows: pd.DataFrame) -> str:
    """Shares of right answers over all depths, by curve and condition (rows) and context length (columns)."""
    share = shares(rows, [*CURVE, "condition"])
    labels = [
        (f"{task}: {heatmap.label(extend, factor)}", condition) for task, extend, factor, condition in share.index
    ]
    cells = [["" if np.isnan(value) else f"{value:.2f}" for value in line] for line in share.to_numpy(float)]
    lines = [[*label, *line] for label, line in zip(labels, cells, strict=True)]
    return tabulate(lines, headers=["exact answers", "", *map(str, share.columns)], disable_numparse=True)


def shares(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The share of right answers over all depths, by a key (rows) and context length (columns)."""
    total = rows.pivot_table(["correct", "trials"], key, "context_length", aggfunc="sum", sort=False)
    share = cast(pd.DataFrame, total["correct"] / total["trials"])
    return share.sort_index(axis="columns")


def due(folder: Path, names: Sequence[str]) -> bool:
    """Whether a task among the protocols was not measured yet."""
    return not {name for name in names if name in TASKS} <= set(read(folder / FILE).task)


def scalars(rows: pd.DataFrame) -> list[dict[str, float]]:
    """By context length, the share of right answers of every task and condition over all depths, for wandb."""
    if not len(rows):
        return []
    share = shares(rows, ["task", "condition"])
    names = [f"eval/{task}/{condition}" for task, condition in share.index]
    return [{"eval/context_length": n, **dict(zip(names, share[n], strict=True))} for n in share.columns]
