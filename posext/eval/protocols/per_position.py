"""The loss at every position of one long window: a whole curve in one pass, for schemes that ignore the context's length.

Not a length curve for a scheme that is `length_dependent`, or whose factor follows the context: all positions are read
under the longest context. For the others position p is what a context of p tokens gives.
"""

from collections.abc import Sequence

import numpy as np

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import Window
from posext.eval.targets import fixed_targets


def per_position(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Disjoint windows of the longest length, at random offsets so that position and age in the document are not mixed up.

    Up to `settings.blocks` in a document, drawn with `settings.seed`. A group is a bucket of positions, named by its
    largest context in tokens: 1, 2, 4, 8 .. and the longest, so bucket 256 holds contexts of 129 to 256.
    """
    longest, counts = lengths[-1], [int(n) for n in documents.lengths]
    targets = fixed_targets(
        counts, longest, longest, settings.blocks, settings.seed, settings.documents
    )
    return ProtocolPlan(
        {longest: [Window(t.document, t.end, longest, longest) for t in targets]},
        buckets,
        groups_are_lengths=True,
    )


def buckets(window: Window) -> np.ndarray:
    """The bucket of each scored label by how many tokens stand before it in the window."""
    contexts = np.arange(window.length - window.scored + 1, window.length + 1)
    largest = 2 ** np.ceil(np.log2(contexts)).astype(np.int64)
    return np.minimum(largest, window.length).astype(str)
