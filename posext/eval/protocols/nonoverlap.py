"""Non-overlapping blocks: the most common protocol, and that of the tables of the ALiBi paper."""

from collections.abc import Sequence

from posext.eval.protocols.plan import (
    Documents,
    ProtocolPlan,
    ProtocolSettings,
    plan_per_document,
    slide,
)


def nonoverlap(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Blocks of L + 1 tokens that share one token with the next block.

    Windows of a document of 13 tokens, at two context lengths:

        L = 4    .####
                     .####
                         .####
        L = 8    .########
                         .####

    Every label of a document but the first is scored once. The last block is kept, however short.
    Contexts are 1 .. L tokens, so a part of any decrease with L comes from having fewer targets at
    the start of a block: a model that sees 512 tokens back still improves from 512 to 8,192.

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings; `seed` and `documents` are used.

    Raises:
        PosextError: No document is long enough.
    """
    return plan_per_document(
        documents,
        lengths,
        settings,
        lambda document, tokens, length: slide(document, tokens, length, length),
    )
