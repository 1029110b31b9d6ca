"""Fixed targets: the same target tokens at every context length, so only the context changes."""

from collections.abc import Sequence

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings, token_counts
from posext.eval.targets import Target, block_windows, fixed_targets, spare_tokens


def fixed_target(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Blocks of T targets in pieces of K, each scored after L - K + 1 .. L tokens of context.

    K is the smaller of T and a share of L. Windows of one block with T = 4 and a share of a half,
    at two context lengths:

        L = 4        ..##
                       ..##
        L = 8    ....####

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings; `size` is T, up to `blocks` blocks are drawn in a document, and
            `scored_share` is the share.

    Raises:
        PosextError: No document is long enough.
    """
    targets = blocks_of(documents, lengths, settings)
    return ProtocolPlan(
        {
            length: [
                window
                for target in targets
                for window in block_windows(target, length, settings.size, settings.scored_share)
            ]
            for length in lengths
        }
    )


def blocks_of(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> list[Target]:
    """Draw the blocks of targets. Raises PosextError if no document is long enough."""
    return fixed_targets(
        token_counts(documents),
        lengths[-1],
        settings.size,
        settings.blocks,
        settings.seed,
        settings.documents,
        spare_tokens(lengths, settings.size, settings.scored_share),
    )
