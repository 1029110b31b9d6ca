"""Fixed targets: the same target tokens at every context length, so only the context changes."""

from collections.abc import Sequence

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings, token_counts
from posext.eval.scoring import TargetWindow
from posext.eval.targets import fixed_targets


def fixed_target(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Blocks of K targets, each scored after L - K + 1 .. L tokens of context.

    Windows of one block with K = 2, at two context lengths:

        L = 4        ...##
        L = 8    .......##

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings; `size` is K, and up to `blocks` blocks are drawn in a document.

    Raises:
        PosextError: No document is long enough.
    """
    targets = fixed_targets(
        token_counts(documents),
        lengths[-1],
        settings.size,
        settings.blocks,
        settings.seed,
        settings.documents,
    )
    return ProtocolPlan(
        {
            length: [
                TargetWindow(target.document, target.end, length, settings.size)
                for target in targets
            ]
            for length in lengths
        }
    )
