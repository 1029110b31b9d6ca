"""Targets that a judge predicts better from far context, beside the others of the same blocks.

This is LongPPL (Fang et al. 2024, arXiv:2410.23771) on the targets of `far_copy`. The keys of a
judge that is measured itself are in part its errors: their loss is too low after the long context
and too high after the short one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from posext.eval.protocols.far_copy import far_copy
from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import TargetWindow
from posext.utils.errors import PosextError

KEY, REST = "key", "rest"
STRIDE_SHARE = 8  # the judge's short windows score so small a part of the short context at once


class Judged(NamedTuple):
    """What a judge says of targets: their NLL in nats after long and after short contexts."""

    long: np.ndarray
    short: np.ndarray

    def keys(self, alpha: float, beta: float) -> np.ndarray:
        """Mask of the targets that gain over alpha nats from the long context, to over beta.

        Args:
            alpha: Limit of log p(long) - log p(short), in nats.
            beta: Limit of log p(long), in nats.
        """
        return (self.short - self.long > alpha) & (-self.long > beta)

    def mirrored(self) -> "Judged":
        """The same with long and short exchanged: errors alone make as many keys of it."""
        return Judged(self.short, self.long)


def key_tokens(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Targets of `far_copy`, in the groups `key` and `rest` by the likelihoods of a judge.

    Windows with K = 2, at two context lengths; each `#` belongs to one of the groups:

        L = 4        ...##
        L = 8    .......##

    The judge reads the windows of the longest context, and once more each target after
    `settings.key_short` to 9/8 of as many tokens. The groups are the same at every length.

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings of `far_copy`, and `judge`, `key_alpha`, `key_beta` and `key_short`.
            Without a judge the plan has windows alone.

    Raises:
        PosextError: The longest context is below twice the short one, or no document is long
            enough.
    """
    short = settings.key_short or settings.beyond
    if lengths[-1] < 2 * short:
        raise PosextError(
            f"the protocol key_tokens needs a context of {2 * short} tokens, twice the judge's "
            f"short one, and the longest is {lengths[-1]}: "
            "give longer context_lengths, or evaluation.key_short"
        )
    copies = far_copy(documents, lengths, replace(settings, far_beyond=short))
    if settings.judge is None:
        return copies._replace(groups=unjudged)
    windows = copies.windows[lengths[-1]]
    after_short = [piece for window in windows for piece in short_windows(window, short)]
    judged = Judged(
        np.concatenate(settings.judge(documents, windows)),
        np.concatenate(settings.judge(documents, after_short)),
    )
    targets = pd.DataFrame(
        {
            "document": np.repeat([w.document for w in windows], [w.scored for w in windows]),
            "label": np.concatenate([np.arange(w.labels.start, w.labels.stop) for w in windows]),
            "targets": 1,
            "keys": judged.keys(settings.key_alpha, settings.key_beta),
            "mirrored": judged.mirrored().keys(settings.key_alpha, settings.key_beta),
            "far": np.concatenate([copies.groups(window) for window in windows]) == "far",
            "nll_long": judged.long,
            "nll_short": judged.short,
        }
    )
    targets["far_keys"] = targets.far & targets["keys"]
    chosen = targets.loc[targets["keys"]].groupby("document").label
    keys = {int(str(document)): labels.to_numpy() for document, labels in chosen}

    def groups(window: TargetWindow) -> np.ndarray:
        labels = np.arange(window.labels.start, window.labels.stop)
        return np.where(np.isin(labels, keys.get(window.document, [])), KEY, REST)

    counts = pd.DataFrame(targets.drop(columns="label").groupby("document", as_index=False).sum())
    names = [documents.names[index] for index in counts.document]
    return copies._replace(groups=groups, counts=counts.assign(document=names))


def short_windows(window: TargetWindow, short: int) -> list[TargetWindow]:
    """Cut a window into windows that score its targets after a short context, in order.

    The first target of each is read after `short` tokens, the last after an eighth more at most.
    """
    size = max(1, short // STRIDE_SHARE)
    pieces = []
    for first in range(window.labels.start, window.labels.stop, size):
        scored = min(size, window.labels.stop - first)
        end = first + scored - 1
        pieces.append(TargetWindow(window.document, end, short + scored - 1, scored))
    return pieces


def unjudged(window: TargetWindow) -> np.ndarray:
    """Raise PosextError: nobody has chosen the keys."""
    raise PosextError("the protocol key_tokens needs a judge to choose its keys")
