"""Targets that far context can help to predict, beside the other targets of the same blocks.

They are found without a model. LongPPL (Fang et al. 2024, arXiv:2410.23771) instead selects key
tokens by the likelihoods of a model.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby

import numpy as np

from posext.eval.protocols.fixed_target import blocks_of, fixed_target
from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import TargetWindow
from posext.utils.errors import PosextError

BLOCK_MULTIPLIER = 4  # relative to the blocks of `fixed_target`, because far copies are rare
MIN_NGRAM = 3  # tokens before a target; shorter n-grams recur by chance


def far_copy(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Targets of `fixed_target` in four times as many blocks, in the groups `far` and `rest`.

    Windows with K = 2, at two context lengths; each `#` belongs to one of the groups:

        L = 4        ...##
        L = 8    .......##

    A target is far if the same `settings.ngram` tokens and the target last occurred more than
    `settings.beyond` tokens before, completely inside the longest context. The groups are the
    same at every length.

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings; `beyond`, `size`, `blocks`, `seed`, `documents` and `ngram` are used.

    Raises:
        PosextError: `settings.ngram` is below 3, or no document is long enough.
    """
    if settings.ngram < MIN_NGRAM:
        raise PosextError(f"ngram must be at least {MIN_NGRAM}, not {settings.ngram}")
    longest = lengths[-1]

    @cache
    def previous_in_document(document: int) -> np.ndarray:
        return previous(documents.document(document), settings.ngram)

    def groups(window: TargetWindow) -> np.ndarray:
        labels = np.arange(window.labels.start, window.labels.stop)
        before = previous_in_document(window.document)[window.labels]
        ends = ends_of_blocks[window.document]
        block_ends = ends[np.searchsorted(ends, labels)]
        in_longest_context = before - settings.ngram >= block_ends - longest
        is_beyond = labels - before > settings.beyond
        return np.where(in_longest_context & is_beyond, "far", "rest")

    more_blocks = replace(settings, blocks=BLOCK_MULTIPLIER * settings.blocks)
    ends_of_blocks: dict[int, np.ndarray] = {
        document: np.array([block.end for block in blocks])
        for document, blocks in groupby(
            blocks_of(documents, lengths, more_blocks), key=lambda block: block.document
        )
    }
    return fixed_target(documents, lengths, more_blocks)._replace(groups=groups)


def previous(tokens_T: np.ndarray, ngram: int) -> np.ndarray:
    """Index of the last earlier occurrence of each token after the same `ngram` tokens.

    int64 (T,), and -1 for a token without one.
    """
    before = np.full(len(tokens_T), -1)
    if len(tokens_T) > ngram:
        runs = np.lib.stride_tricks.sliding_window_view(tokens_T, ngram + 1)
        run_ids = np.unique(runs, axis=0, return_inverse=True)[1].reshape(-1)
        order = np.argsort(run_ids, kind="stable")
        repeated = run_ids[order[1:]] == run_ids[order[:-1]]
        before[order[1:][repeated] + ngram] = order[:-1][repeated] + ngram
    return before
