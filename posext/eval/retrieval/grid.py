"""Retrieval at every length of a plan, shared out over processes."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from posext.config import RETRIEVAL, EvaluationConfig
from posext.data.recall.episode import RecallSettings
from posext.eval.curve import EvalPlan
from posext.eval.retrieval.measure import MEASURED, measure_recall
from posext.eval.retrieval.passkey import measure_passkey

TASKS: dict[str, Any] = dict(zip(RETRIEVAL, (measure_recall, measure_passkey), strict=True))


def measure_retrieval(
    model: Any,
    plan: EvalPlan,
    names: Sequence[str],
    config: EvaluationConfig,
    accelerator: Accelerator,
) -> pd.DataFrame:
    """Rows of a task and MEASURED, for those of the protocols that are tasks; every process gets all of them.

    Lengths are dealt out to the processes; those at which a scheme is undefined are left out.
    """
    longest = getattr(getattr(model, "pe", None), "max_length", None)
    lengths = [n for n in plan.lengths if not longest or n <= longest]
    mine = lengths[accelerator.process_index :: accelerator.num_processes]
    settings, found = RecallSettings(trials=config.trials, seed=config.seed), []
    for name in (name for name in names if name in TASKS):
        with torch.inference_mode(), accelerator.autocast():
            rows = TASKS[name](model, plan.tokens, mine, settings, device=accelerator.device)
        found.append(rows.assign(task=name))
    parts = [part for part in gather_object([pd.concat(found)] if found else []) if len(part)]
    if not parts:
        return pd.DataFrame(columns=["task", *MEASURED])
    return pd.concat(parts).sort_values(
        ["task", "context_length", "depth"], kind="stable", ignore_index=True
    )
