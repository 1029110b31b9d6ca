"""Loss by position in one long window: a whole curve in one pass.

It is not a length curve for a scheme that is `length_dependent`, or whose factor follows the
context, because all positions are read under the longest context. For other schemes the loss at
position p is the loss after a context of p tokens.
"""

from collections.abc import Sequence

import numpy as np

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings, token_counts
from posext.eval.scoring import TargetWindow
from posext.eval.targets import fixed_targets

MOST_PARTS = 512  # of a window, whose sums are stored for moving averages


def per_position(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Disjoint windows of the longest length, with every label scored.

    Windows for two longest lengths, with the bucket of each target below:

        L = 4    .####
                  1244
        L = 8    .########
                  12448888

    Offsets are random, so that the position in the window is independent of the position in the
    document. A group is a bucket of positions, named by its largest context in tokens: 1, 2, 4, 8
    .. and the longest, so bucket 256 holds contexts of 129 to 256.

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing; only the last is used.
        settings: Settings; up to `blocks` windows are drawn in a document with `seed`.

    Raises:
        PosextError: No document is long enough.
    """
    longest = lengths[-1]
    targets = fixed_targets(
        token_counts(documents),
        longest,
        longest,
        settings.blocks,
        settings.seed,
        settings.documents,
    )
    return ProtocolPlan(
        {
            longest: [
                TargetWindow(target.document, target.end, longest, longest) for target in targets
            ]
        },
        buckets,
        groups_are_lengths=True,
        parts=parts,
    )


def buckets(window: TargetWindow) -> np.ndarray:
    """Bucket of each scored label, by the number of tokens before it in the window."""
    contexts = contexts_of(window)
    largest = 2 ** np.ceil(np.log2(contexts)).astype(np.int64)
    return np.minimum(largest, window.length).astype(str)


def parts(window: TargetWindow) -> np.ndarray:
    """Part of each scored label: the window in at most MOST_PARTS equal parts, named as buckets."""
    size = -(-window.length // MOST_PARTS)
    return np.minimum(-(-contexts_of(window) // size) * size, window.length)


def contexts_of(window: TargetWindow) -> np.ndarray:
    """Tokens before each scored label in the window."""
    return np.arange(window.length - window.scored + 1, window.length + 1)
