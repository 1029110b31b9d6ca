"""Targets that far context can help with, found without a model, against the other targets of the same blocks.

A stand-in for choosing key tokens by a model's own likelihoods, as LongPPL does (Fang et al. 2024, arXiv:2410.23771).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from posext.eval.protocols.fixed_target import fixed_target
from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import Window
from posext.utils.errors import PosextError

MORE = 4  # times the blocks of `fixed_target`, as few targets are far copies
SHORTEST = 3  # tokens before a target; fewer recur by chance


def far_copy(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """The targets of `fixed_target` in four times as many blocks, in the groups `far` and `rest`.

    A target is far where it last stood after the same `settings.ngram` tokens more than `settings.train_length` tokens
    before, whole within the longest context. The groups are the same at every length. Raises PosextError for short n-grams.
    """
    if settings.ngram < SHORTEST:
        raise PosextError(f"ngram must be at least {SHORTEST}, not {settings.ngram}")
    longest = lengths[-1]

    @cache
    def last_seen(document: int) -> np.ndarray:
        return previous(documents.document(document), settings.ngram)

    def groups(window: Window) -> np.ndarray:
        labels = np.arange(window.labels.start, window.labels.stop)
        before = last_seen(window.document)[window.labels]
        far = (before - settings.ngram >= window.end - longest) & (
            labels - before > settings.train_length
        )
        return np.where(far, "far", "rest")

    return fixed_target(
        documents, lengths, replace(settings, blocks=MORE * settings.blocks)
    )._replace(groups=groups)


def previous(tokens_T: np.ndarray, ngram: int) -> np.ndarray:
    """Where each token last stood before after the same `ngram` tokens: its index, or -1; int64 (T,)."""
    before = np.full(len(tokens_T), -1)
    if len(tokens_T) > ngram:
        runs = np.lib.stride_tricks.sliding_window_view(tokens_T, ngram + 1)
        which = np.unique(runs, axis=0, return_inverse=True)[1].reshape(-1)
        order = np.argsort(which, kind="stable")
        again = which[order[1:]] == which[order[:-1]]
        before[order[1:][again] + ngram] = order[:-1][again] + ngram
    return before
