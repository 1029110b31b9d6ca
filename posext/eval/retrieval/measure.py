"""Retrieval tasks on a grid of context lengths and depths: one forward pass per episode.

Shape suffixes: B windows in a batch, N windows, T tokens, S answers, A tokens that are right.
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
from posext.data.recall.tasks import NO_WORD, TASKS
from posext.eval.batch_budget import BatchBudget
from posext.eval.scoring import last_logits

CONDITIONS = ("needle", "control")
CELL_KEY = ["context_length", "depth", "distance", "condition"]
CELL_COLUMNS = [*CELL_KEY, "trials", "correct", "nll"]


@torch.inference_mode()
def measure_task(
    name: str,
    model: Callable[..., object],
    tokens: Data,
    lengths: Sequence[int],
    settings: RecallSettings | None = None,
    budget: BatchBudget | None = None,
) -> pd.DataFrame:
    """Measure a retrieval task in held-out text.

    Args:
        name: The task, one of posext.data.recall.tasks.
        model: Function from tokens (B, T) to logits, as posext.eval.scoring takes it.
        tokens: Corpus.
        lengths: Context lengths; those too short for the task are left out.
        settings: Depths, trials and seed, by default `RecallSettings()`.
        budget: The tokens of a batch, and the device of the model; by default `BatchBudget(None)`.

    Returns:
        CELL_COLUMNS, a row per length, depth and condition. A task without depths has depth 0.

    Raises:
        PosextError: The corpus has too few rare tokens, or no document of a length.
    """
    settings = settings or RecallSettings()
    budget = budget or BatchBudget(None)
    pool = pool_of(tokens)
    form = TASKS[name]
    depths = settings.depths if form.has_depth else (0.0,)
    rows = []
    for length, depth in product(lengths, depths):
        if length < form.shortest:
            continue
        episodes = [
            episode(tokens.validation, pool, settings, name, length, depth, trial)
            for trial in range(settings.trials)
        ]
        answers_S = episodes[0].answers
        accepted_NSA = np.stack([trial.accepted for trial in episodes])
        for condition in CONDITIONS:
            windows_NT = np.stack([getattr(trial, condition) for trial in episodes])
            scores = score_answers(model, windows_NT, answers_S, accepted_NSA, budget)
            rows.append(cell_row(length, depth, episodes[0].distance, condition, *scores))
    return pd.DataFrame(rows, columns=CELL_COLUMNS)


def score_answers(
    model: Callable[..., object],
    windows_NT: np.ndarray,
    answers_S: np.ndarray,
    accepted_NSA: np.ndarray,
    budget: BatchBudget,
) -> tuple[np.ndarray, np.ndarray]:
    """Score the answers at the end of windows, with teacher forcing.

    Args:
        model: As in `measure_task`.
        windows_NT: Windows, int64 (N, T + 1); the model reads all but the last token.
        answers_S: Places of the answers, counted from a window's end, increasing, below 0.
        accepted_NSA: The tokens that are right in these places, or NO_WORD.
        budget: As in `measure_task`.

    Returns:
        Exact match: whether the most likely token is right in every place, bool (N,); and the mean
        over places of -log of the probability of the right tokens, in nats, float64 (N,).
    """
    size = -int(answers_S[0])

    def score(batch: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        tokens_BT = torch.from_numpy(windows_NT[list(batch)]).to(budget.device)
        accepted_BSA = torch.from_numpy(accepted_NSA[list(batch)]).to(budget.device)
        logits_BSV = last_logits(model, tokens_BT[:, :-1], size)[:, answers_S + size].float()
        is_right_BS = (logits_BSV.argmax(dim=-1)[..., None] == accepted_BSA).any(dim=-1)
        log_shares_BSA = logits_BSV.log_softmax(dim=-1).gather(2, accepted_BSA.clamp(min=0))
        log_shares_BSA = log_shares_BSA.masked_fill(accepted_BSA == NO_WORD, -torch.inf)
        nll_B = -log_shares_BSA.logsumexp(dim=2).double().mean(dim=1)
        return is_right_BS.all(dim=1).cpu().numpy(), nll_B.cpu().numpy()

    count, width = windows_NT.shape
    scored = [result for _, result in budget.map(score, range(count), width - 1)]
    correct, nll = zip(*scored, strict=True)
    return np.concatenate(correct), np.concatenate(nll)


def cell_row(
    length: int, depth: float, distance: int, condition: str, correct: np.ndarray, nll: np.ndarray
) -> dict[str, Any]:
    """Summarise the trials of one cell of the grid.

    Args:
        length: Context length in tokens.
        depth: Relative depth of the needle, 0 to 1.
        distance: Tokens from the first needle to the first answer.
        condition: One of CONDITIONS.
        correct: Exact match of each trial, bool (trials,).
        nll: Nats per answer of each trial, float (trials,).
    """
    key = dict(zip(CELL_KEY, (length, depth, distance, condition), strict=True))
    return {**key, "trials": len(correct), "correct": int(correct.sum()), "nll": float(nll.mean())}
