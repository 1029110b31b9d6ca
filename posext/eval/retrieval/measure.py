"""Associative recall on a grid of context lengths and depths: one forward pass per answer.

Shape suffixes: B windows in a batch, N windows, T tokens, K tokens of an answer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from posext.data.dataset import Data
from posext.data.recall.episode import RecallSettings, episode
from posext.data.recall.pool import pool_of
from posext.eval.scoring import last_logits
from posext.model.loss import nll_of

CONDITIONS = ("needle", "control")
CELL_KEY = ["context_length", "depth", "distance", "condition"]
CELL_COLUMNS = [*CELL_KEY, "trials", "correct", "nll"]


@torch.inference_mode()
def measure_recall(
    model: Callable[..., object],
    tokens: Data,
    lengths: Sequence[int],
    settings: RecallSettings | None = None,
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Measure recall in held-out text.

    Args:
        model: Function from tokens (B, T) to logits, as posext.eval.scoring takes it.
        tokens: Corpus.
        lengths: Context lengths; those too short for a pair and the query are left out.
        settings: Recall settings, by default `RecallSettings()`.
        tokens_per_batch: Upper limit of the tokens of a batch.
        device: Device of the model.

    Returns:
        CELL_COLUMNS, a row per length, depth and condition.

    Raises:
        PosextError: The corpus has too few rare tokens, or no document of a length.
    """
    settings = settings or RecallSettings()
    pool = pool_of(tokens)
    rows = []
    for length in lengths:
        if length < settings.shortest:
            continue
        for depth in settings.depths:
            episodes = [
                episode(tokens.validation, pool, settings, length, depth, trial)
                for trial in range(settings.trials)
            ]
            for condition in CONDITIONS:
                windows_NT = np.stack([getattr(trial, condition) for trial in episodes])
                correct, nll = score_answers(
                    model, windows_NT, settings.value, tokens_per_batch, device
                )
                rows.append(cell_row(length, depth, episodes[0].distance, condition, correct, nll))
    return pd.DataFrame(rows, columns=CELL_COLUMNS)


def score_answers(
    model: Callable[..., object],
    windows_NT: np.ndarray,
    size: int,
    tokens_per_batch: int,
    device: torch.device | str,
) -> tuple[np.ndarray, np.ndarray]:
    """Score windows that end in an answer of `size` tokens, with teacher forcing.

    Returns:
        Exact match: whether every token of the answer is the most likely one, bool (N,); and the
        mean NLL in nats per token of the answer, float64 (N,).
    """
    correct = []
    nll = []
    windows_per_batch = max(1, tokens_per_batch // (windows_NT.shape[1] - 1))
    for batch_BT in torch.from_numpy(windows_NT).split(windows_per_batch):
        tokens_BT = batch_BT.to(device)
        logits_BKV = last_logits(model, tokens_BT[:, :-1], size)
        labels_BK = tokens_BT[:, -size:]
        correct.append((logits_BKV.argmax(dim=-1) == labels_BK).all(dim=1).cpu().numpy())
        nll.append(nll_of(logits_BKV, labels_BK).double().mean(dim=1).cpu().numpy())
    return np.concatenate(correct), np.concatenate(nll)


def cell_row(
    length: int, depth: float, distance: int, condition: str, correct: np.ndarray, nll: np.ndarray
) -> dict[str, Any]:
    """Summarise the trials of one cell of the grid.

    Args:
        length: Context length in tokens.
        depth: Relative depth of the needle, 0 to 1.
        distance: Tokens from the needle to the answer.
        condition: One of CONDITIONS.
        correct: Exact match of each trial, bool (trials,).
        nll: Nats per token of the answer of each trial, float (trials,).
    """
    key = dict(zip(CELL_KEY, (length, depth, distance, condition), strict=True))
    return {**key, "trials": len(correct), "correct": int(correct.sum()), "nll": float(nll.mean())}
