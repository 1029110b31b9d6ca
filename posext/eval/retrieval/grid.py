"""Retrieval tasks at every context length of a plan, shared out over the processes."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from posext.config import EvaluationConfig
from posext.data.recall.episode import RecallSettings
from posext.data.recall.tasks import TASKS
from posext.eval.batch_budget import BatchBudget
from posext.eval.curve import EvalPlan
from posext.eval.retrieval.measure import CELL_COLUMNS, measure_task
from posext.eval.retrieval.passkey import measure_passkey
from posext.utils.sharding import shard

MEASURES: dict[str, Any] = {name: partial(measure_task, name) for name in TASKS}
MEASURES["passkey"] = measure_passkey


def measure_retrieval(
    model: Any,
    plan: EvalPlan,
    names: Sequence[str],
    config: EvaluationConfig,
    accelerator: Accelerator,
) -> pd.DataFrame:
    """Measure the retrieval tasks among the names of protocols.

    Lengths are shared out over the processes. Lengths at which the scheme is undefined are left
    out.

    Returns:
        The column `task` and CELL_COLUMNS, the rows of all processes on every process.
    """
    longest = getattr(getattr(model, "pe", None), "max_length", None)
    lengths = [length for length in plan.lengths if not longest or length <= longest]
    own_lengths = shard(lengths, accelerator.process_index, accelerator.num_processes)
    settings = RecallSettings(trials=config.trials, seed=config.seed)
    budget = BatchBudget(config.tokens_per_batch, accelerator.device)
    own_rows = []
    for name in names:
        if name not in MEASURES:
            continue
        with torch.inference_mode(), accelerator.autocast():
            rows = MEASURES[name](model, plan.tokens, own_lengths, settings, budget)
        own_rows.append(rows.assign(task=name))
    gathered = gather_object([pd.concat(own_rows)] if own_rows else [])
    filled = [rows for rows in gathered if len(rows)]
    if not filled:
        return pd.DataFrame(columns=["task", *CELL_COLUMNS])
    return pd.concat(filled).sort_values(
        ["task", "context_length", "depth"], kind="stable", ignore_index=True
    )
