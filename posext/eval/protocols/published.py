"""Published evaluations as they were run, for reading the tables of their papers.

None is comparable across context lengths. All differ from the originals in one respect: windows
stay inside documents, and only documents that hold the longest context are used. No
beginning-of-sequence token is given to the model.
"""

from collections.abc import Sequence

from posext.eval.protocols.nonoverlap import nonoverlap
from posext.eval.protocols.plan import (
    Documents,
    ProtocolPlan,
    ProtocolSettings,
    plan_per_document,
    slide,
)
from posext.eval.scoring import TargetWindow

STRIDE = 256  # in the papers on LLaMA


def alibi(documents: Documents, lengths: Sequence[int], settings: ProtocolSettings) -> ProtocolPlan:
    """ALiBi (Press et al. 2021, arXiv:2108.12409, section 4): non-overlapping blocks.

    Windows of a document of 13 tokens, at two context lengths:

        L = 4    .####
                     .####
                         .####
        L = 8    .########
                         .####

    Biased across lengths: longer blocks have fewer targets with little context, so the loss falls
    for any model. Raises PosextError if no document is long enough.
    """
    return nonoverlap(documents, lengths, settings)


def alibi_s1(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """ALiBi (appendix B): a sliding window with stride 1.

    Windows of a document of 7 tokens, at two context lengths:

        L = 2    .##
                  ..#
                   ..#
                    ..#
                     ..#
        L = 4    .####
                  ....#
                   ....#

    Every target but the first L has L tokens of context, at the cost of a forward pass per token.
    Biased across lengths: the first L targets have little context, and they differ by length.
    Raises PosextError if no document is long enough.
    """
    return plan_per_document(
        documents,
        lengths,
        settings,
        lambda document, tokens, length: slide(document, tokens, length, stride=1),
    )


def pi(documents: Documents, lengths: Sequence[int], settings: ProtocolSettings) -> ProtocolPlan:
    """Position Interpolation (Chen et al. 2023, arXiv:2306.15595, section 3.2).

    Documents are cut to max(L) tokens; the stride is 256. Windows with max(L) = 8 and stride 2, at
    two context lengths:

        L = 4    .####
                   ...##
                     ...#
        L = 8    .#######

    Biased across lengths: contexts are L - 255 .. L tokens, a wide range at short L, and the first
    window scores all its labels, which at the longest L are all labels. Raises PosextError if no
    document is long enough.
    """
    longest = lengths[-1]
    return plan_per_document(
        documents,
        lengths,
        settings,
        lambda document, tokens, length: slide(document, longest, length, min(STRIDE, length)),
    )


def yarn_paper(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """YaRN (Peng et al. 2023, arXiv:2309.00071, section 4.3.1): its eval/perplexity.py --truncate.

    Windows at two context lengths:

        L = 4    .###
        L = 8    .#######

    Biased: each document is cut to its first L tokens, so the window never slides, contexts are
    1 .. L - 1 tokens and targets differ by length; the mean is over windows, not tokens. Raises
    PosextError if no document is long enough.
    """
    return plan_per_document(
        documents,
        lengths,
        settings,
        lambda document, tokens, length: [window_mean(document, length - 1, length)],
    )


def longlora(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """LongLoRA (Chen et al. 2023, arXiv:2309.12307): its eval.py, the mean of overlapping windows.

    The stride is 256. Windows of a document of 13 tokens with stride 2, at two context lengths:

        L = 4    .###
                   .###
                     .###
                       .###
                         .###
        L = 8    .#######
                   .#######
                     .#######

    Biased: all labels of overlapping windows are scored, most of them up to L / 256 times and with
    1 .. L - 1 tokens of context; the tail is dropped. Raises PosextError if no document is long
    enough.
    """

    def windows(document: int, tokens: int, length: int) -> list[TargetWindow]:
        starts = range(0, tokens - length, STRIDE)
        return [window_mean(document, start + length - 1, length) for start in starts]

    return plan_per_document(documents, lengths, settings, windows)


def window_mean(document: int, end: int, length: int) -> TargetWindow:
    """Window of `length` tokens, label `end` included, whose mean NLL has weight 1.

    `length` must be at least 2.
    """
    return TargetWindow(document, end, length - 1, length - 1, weight=1 / (length - 1))
