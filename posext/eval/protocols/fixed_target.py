"""The same target tokens at every context length: the one protocol whose curve says what context is worth."""

from collections.abc import Sequence

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings
from posext.eval.scoring import Window
from posext.eval.targets import fixed_targets


def fixed_target(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """`settings.blocks` blocks of K = `settings.size` targets in a document, each after L - K + 1 .. L tokens of context."""
    counts = [int(n) for n in documents.lengths]
    targets = fixed_targets(
        counts, lengths[-1], settings.size, settings.blocks, settings.seed, settings.documents
    )
    return ProtocolPlan(
        {
            length: [Window(t.document, t.end, length, settings.size) for t in targets]
            for length in lengths
        }
    )
