"""Sliding window over whole documents, with the same targets at every context length."""

from collections.abc import Iterator, Sequence

from posext.eval.protocols.plan import (
    Documents,
    ProtocolPlan,
    ProtocolSettings,
    plan_per_document,
    slide,
)
from posext.eval.scoring import TargetWindow


def sliding(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Every label after the first max(L) of a document, after L - stride + 1 .. L tokens.

    Windows of a document of 13 tokens with stride 2 and max(L) = 8, at two context lengths:

        L = 4          ...##
                         ...##
        L = 8      .......##
                     .......##

    The stride defaults to max(1, L // 8), so that contexts are within an eighth of L at every
    length. Stride 1 is the exact loss after L tokens; stride L is `nonoverlap` on these targets, if
    the longest length is a multiple of L.

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings; `stride`, `seed` and `documents` are used.

    Raises:
        PosextError: No document is long enough, or the stride is above a context length.
    """
    longest = lengths[-1]

    def windows(document: int, tokens: int, length: int) -> Iterator[TargetWindow]:
        stride = settings.stride or max(1, length // 8)
        return slide(document, tokens, length, stride, burn_in=longest)

    # Label 0 is never scored, so a document must hold 2 tokens after the longest context.
    return plan_per_document(documents, lengths, settings, windows, targets=2)
