"""Protocol `accuracy`: answers to examples of an algorithmic task, at growing lengths.

All answers of a batch are scored in one forward pass: each token of an answer is predicted after
the right ones before it, and counts as right if it is the most likely. An answer that is right to
its last token, the one that ends it included, is the one that greedy generation would give, and one
with an error is not. So exact match is that of generation.

Shape suffixes: E examples, B examples in a batch, T tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from posext.config import AlgorithmicData, EvaluationConfig
from posext.data.algorithmic.corpus import TaskCorpus
from posext.data.algorithmic.task import IGNORED, Examples
from posext.eval.batch_budget import BatchBudget
from posext.eval.scoring import last_logits
from posext.utils.sharding import shard

LENGTH_MULTIPLES = (0.5, 1, 1.5, 2, 4, 8)  # of data.length: those measured by default
COUNT_COLUMNS = [
    "length",
    "tokens",
    "examples",
    "exact",
    "symbols",
    "right",
    "effective_symbols",
    "chance",
]


def example_lengths(data: AlgorithmicData, config: EvaluationConfig) -> list[int]:
    """Return the lengths of examples to measure, increasing."""
    if config.example_lengths is not None:
        return config.example_lengths
    return sorted({max(2, round(multiple * data.length)) for multiple in LENGTH_MULTIPLES})


def measure_accuracy(
    model: Callable[..., object],
    corpus: TaskCorpus,
    lengths: Sequence[int],
    config: EvaluationConfig,
    accelerator: Accelerator,
) -> pd.DataFrame:
    """Measure a model on test examples of each length, shared out over the processes.

    Args:
        model: Function from tokens (B, T) to logits, as posext.eval.scoring takes it.
        corpus: The task.
        lengths: Lengths of examples.
        config: Number and seed of the examples, and the tokens of a batch.
        accelerator: Processes and device.

    Returns:
        COUNT_COLUMNS, a row for each length, the rows of all processes on every process. Lengths at
        which the scheme is undefined have no examples.

    Raises:
        PosextError: A length is beyond the symbols of the task.
    """
    longest = getattr(getattr(model, "pe", None), "max_length", None)
    budget = BatchBudget(config.tokens_per_batch, accelerator.device)
    own_rows = []
    for length in shard(list(lengths), accelerator.process_index, accelerator.num_processes):
        tokens = corpus.config.tokens_read(length)
        row = {"length": length, "tokens": tokens, "chance": corpus.task.chance(length)}
        examples = corpus.test_examples(config.seed, length, config.examples)
        if longest is None or tokens <= longest:
            with torch.inference_mode(), accelerator.autocast():
                right_ET = right_labels(model, examples, budget)
            row |= counts(right_ET, examples.labels_RT, corpus.task.first)
        own_rows.append(row)
    rows = pd.DataFrame(gather_object(own_rows), columns=COUNT_COLUMNS)
    return rows.sort_values("length", ignore_index=True).fillna({"examples": 0})


def right_labels(
    model: Callable[..., object], examples: Examples, budget: BatchBudget
) -> np.ndarray:
    """Return whether the most likely token is the label, bool (E, T); False where there is none."""
    count, length = examples.tokens_RT.shape

    def most_likely(batch: Sequence[int]) -> np.ndarray:
        tokens_BT = torch.from_numpy(examples.tokens_RT[list(batch)]).to(budget.device)
        return last_logits(model, tokens_BT, length).argmax(dim=-1).cpu().numpy()

    answers = [answer_BT for _, answer_BT in budget.map(most_likely, range(count), length)]
    return np.concatenate(answers) == examples.labels_RT


def counts(right_ET: np.ndarray, labels_ET: np.ndarray, first: int) -> dict[str, Any]:
    """Count right answers, and right symbols in them.

    Args:
        right_ET: Whether each label was predicted.
        labels_ET: The labels.
        first: The first token that is a symbol; others structure an answer, and count in exact
            match alone.

    Returns:
        The columns examples, exact, symbols, right and effective_symbols.
    """
    is_symbol_ET = labels_ET >= first
    right_E = (right_ET & is_symbol_ET).sum(axis=1)
    symbols_E = is_symbol_ET.sum(axis=1)
    return {
        "examples": len(labels_ET),
        "exact": int((right_ET | (labels_ET == IGNORED)).all(axis=1).sum()),
        "symbols": int(symbols_E.sum()),
        "right": int(right_E.sum()),
        "effective_symbols": effective_symbols(right_E, symbols_E),
    }


def effective_symbols(right_E: np.ndarray, symbols_E: np.ndarray) -> float:
    """Return how many independent symbols would tell as much of the accuracy as these.

    Symbols of one example are right or wrong together, more or less. The variance p (1 - p) / n of
    independent ones is set equal to that of the ratio of sums over examples (Kish 1965). At most
    all symbols count, and where no two examples differ, one of each.
    """
    share = right_E.sum() / symbols_E.sum()
    deviations_E = right_E - share * symbols_E
    E = len(right_E)
    variance = (deviations_E**2).sum() / max(1, E - 1) / E / symbols_E.mean() ** 2
    if not variance:
        return float(E)
    return float(min(share * (1 - share) / variance, symbols_E.sum()))
