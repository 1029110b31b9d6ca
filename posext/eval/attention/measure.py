"""The protocol `attention`: sums per document at every context length, from a few documents.

The queries are those that predict the targets of `fixed_target`, the same tokens at every length.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from accelerate import Accelerator

from posext.config import ATTENTION, EvaluationConfig
from posext.eval.attention.tally import HIDDEN_NORM, HIDDEN_SUM, OF_PAIRS
from posext.eval.attention.windows import Sums, observe_windows
from posext.eval.batch_budget import BatchBudget
from posext.eval.curve import EvalPlan, protocol_settings
from posext.eval.protocols import fixed_target
from posext.utils.errors import PosextError

HIDDEN_NORM_RATIO = "hidden_norm_ratio"
OF_LAYERS = (HIDDEN_NORM, "hidden_cosine", HIDDEN_NORM_RATIO)  # not of single heads
PLACE = ["context_length", "metric", "layer", "head", "pair"]
SUM_COLUMNS = [*PLACE, "document", "total", "weight"]


def measure_attention(
    model: Any,
    plan: EvalPlan,
    names: Sequence[str],
    config: EvaluationConfig,
    trained_length: int,
    accelerator: Accelerator,
) -> pd.DataFrame:
    """Measure attention and hidden states if the names of protocols have `attention`.

    Lengths at which the scheme is undefined are left out. Hidden states are compared with those at
    the longest length up to the training length; without such a length these rows are missing.

    Args:
        model: A model with a method `observe(tokens_BT, observer)`.
        plan: Lengths and documents.
        names: Names of protocols.
        config: Settings of the evaluation.
        trained_length: Longest length trained, in tokens.
        accelerator: Processes and device.

    Returns:
        SUM_COLUMNS on every process. A number is sum(total) / sum(weight) over documents; `head`
        and `pair` are nan where a metric has none.

    Raises:
        PosextError: The model has no attention, or none that can be observed.
    """
    if ATTENTION not in names:
        return pd.DataFrame(columns=SUM_COLUMNS)
    if not hasattr(model, "observe"):
        raise PosextError(f"{type(model).__name__} does not show its attention")
    most = min(config.attention_documents, config.documents or config.attention_documents)
    settings = protocol_settings(config, plan.lengths, trained_length)
    documents = plan.tokens.validation
    windows = fixed_target(documents, plan.lengths, replace(settings, documents=most)).windows
    longest = getattr(getattr(model, "pe", None), "max_length", None)
    lengths = [length for length in plan.lengths if not longest or length <= longest]
    in_range = max((length for length in lengths if length <= trained_length), default=None)
    budget = BatchBudget(config.tokens_per_batch, accelerator.device)
    means = None
    if in_range is not None:
        first_pass = observe_windows(model, documents, windows[in_range], None, budget, accelerator)
        means = first_pass.means(HIDDEN_SUM)
    sums = {
        length: observe_windows(model, documents, windows[length], means, budget, accelerator)
        for length in lengths
    }
    if in_range is not None:
        sums = {length: with_ratio(of_length, sums[in_range]) for length, of_length in sums.items()}
    frames = [sums_by_document(length, of_length) for length, of_length in sums.items()]
    return pd.concat(frames or [pd.DataFrame(columns=SUM_COLUMNS)], ignore_index=True)


def with_ratio(sums: Sums, in_range: Sums) -> Sums:
    """Add the norm of hidden states over that of the same tokens at the length `in_range`."""
    totals, weights = dict(sums.totals), dict(sums.weights)
    for name, layer in sums.totals:
        if name == HIDDEN_NORM:
            totals[HIDDEN_NORM_RATIO, layer] = sums.totals[name, layer]
            weights[HIDDEN_NORM_RATIO, layer] = in_range.totals[name, layer]
    return Sums(sums.documents, totals, weights)


def sums_by_document(length: int, sums: Sums) -> pd.DataFrame:
    """The sums at one context length as SUM_COLUMNS."""
    frames = []
    for (name, layer), total_DX in sums.totals.items():
        if name == HIDDEN_SUM:
            continue
        count, width = total_DX.shape
        places = np.tile(np.arange(width, dtype=float), count)
        blank = np.full(count * width, np.nan)
        columns = {
            "context_length": length,
            "metric": name,
            "layer": layer,
            "head": blank if name in (*OF_LAYERS, *OF_PAIRS) else places,
            "pair": places if name in OF_PAIRS else blank,
            "document": np.repeat(sums.documents, width),
            "total": total_DX.ravel(),
            "weight": sums.weights[name, layer].ravel(),
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
