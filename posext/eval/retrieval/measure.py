"""Recall on the grid of context lengths and depths: every answer in a single forward pass.

Shape suffixes: B windows in a batch, N windows, T tokens, K tokens of an answer.
"""

from collections.abc import Callable, Sequence
from itertools import product
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
CELL = ["context_length", "depth", "distance", "condition"]
MEASURED = [*CELL, "trials", "correct", "nll"]


@torch.inference_mode()
def measure_recall(
    model: Callable[..., object],
    tokens: Data,
    lengths: Sequence[int],
    settings: RecallSettings | None = None,
    tokens_per_batch: int = 4096,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Rows of MEASURED in held-out text, at each length that holds a pair and the query; the others are left out.

    `model` maps tokens (B, T) to logits, as posext.eval.scoring takes it. Raises PosextError for a corpus without enough rare
    tokens, or without a document as long.
    """
    chosen, pool, rows = settings or RecallSettings(), pool_of(tokens), []
    for length, depth in product((n for n in lengths if n >= chosen.shortest), chosen.depths):
        drawn = [
            episode(tokens.validation, pool, chosen, length, depth, i) for i in range(chosen.trials)
        ]
        for condition in CONDITIONS:
            windows_NT = np.stack([getattr(e, condition) for e in drawn])
            scored = answers(model, windows_NT, chosen.value, tokens_per_batch, device)
            rows.append(row(length, depth, drawn[0].distance, condition, *scored))
    return pd.DataFrame(rows, columns=MEASURED)


def answers(
    model: Callable[..., object],
    windows_NT: np.ndarray,
    size: int,
    tokens_per_batch: int,
    device: torch.device | str,
) -> tuple[np.ndarray, np.ndarray]:
    """Of windows that end in an answer of `size` tokens: whether each token of it is the likeliest, bool (N,), and the
    nats a token of it, float64 (N,). The answer is read as it is scored (teacher-forced).
    """
    right, nll = [], []
    for tokens_BT in torch.from_numpy(windows_NT).split(
        max(1, tokens_per_batch // (windows_NT.shape[1] - 1))
    ):
        tokens_BT = tokens_BT.to(device)
        logits_BKV, labels_BK = last_logits(model, tokens_BT[:, :-1], size), tokens_BT[:, -size:]
        right.append((logits_BKV.argmax(dim=-1) == labels_BK).all(dim=1).cpu().numpy())
        nll.append(nll_of(logits_BKV, labels_BK).double().mean(dim=1).cpu().numpy())
    return np.concatenate(right), np.concatenate(nll)


def row(
    length: int, depth: float, distance: int, condition: str, correct: np.ndarray, nll: np.ndarray
) -> dict[str, Any]:
    """One cell from its trials: which were right, bool (trials,), and the nats a token of the answer, float (trials,)."""
    cell = dict(zip(CELL, (length, depth, distance, condition), strict=True))
    return {**cell, "trials": len(correct), "correct": int(correct.sum()), "nll": float(nll.mean())}
