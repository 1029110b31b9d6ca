"""Blocks side by side, the commonest protocol and the one of the ALiBi paper's tables."""

from collections.abc import Sequence

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings, slide
from posext.eval.targets import long_documents


def nonoverlap(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Blocks of L + 1 tokens that share a token with the next, so every label but a document's first is scored once.

    The last block is kept, however short. Contexts are 1 .. L tokens, so part of any fall with L is fewer targets at the
    start of a block: a model that sees 512 tokens back still falls from 512 to 8,192.
    """
    counts = [int(n) for n in documents.lengths]
    kept = long_documents(counts, lengths[-1], settings.seed, settings.documents)
    return ProtocolPlan(
        {
            length: [w for d in kept for w in slide(d, counts[d], length, length)]
            for length in lengths
        }
    )
