"""A window that slides through whole documents, with every target scored once and the same targets at every length."""

from collections.abc import Sequence

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings, slide
from posext.eval.targets import long_documents


def sliding(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Every label after the first max(L) of a document, `settings.stride` at a time: L - stride + 1 .. L tokens of context.

    The stride defaults to max(1, L // 8), so that contexts are within an eighth of L at every length. Stride 1 is the
    exact loss after L tokens; stride L is `nonoverlap` on these targets, where the longest is a multiple of L.
    """
    counts = [int(n) for n in documents.lengths]
    kept = long_documents(
        counts, lengths[-1], settings.seed, settings.documents, targets=2
    )  # label 0 is never scored
    strides = {length: settings.stride or max(1, length // 8) for length in lengths}
    return ProtocolPlan(
        {
            n: [w for d in kept for w in slide(d, counts[d], n, s, lengths[-1])]
            for n, s in strides.items()
        }
    )
