"""Published evaluations as they were run, for reading their tables. None is comparable across context lengths.

All differ from the originals in one thing: windows stay inside documents, of which those are kept that hold the longest
context. A model is given no token of beginning.
"""

from collections.abc import Callable, Iterator, Sequence

from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings, slide
from posext.eval.scoring import Window
from posext.eval.targets import long_documents

STRIDE = 256  # of the papers on LLaMA


def alibi(documents: Documents, lengths: Sequence[int], settings: ProtocolSettings) -> ProtocolPlan:
    """ALiBi (Press et al. 2021, arXiv:2108.12409, section 4): blocks side by side.

    Wrong across lengths: longer blocks have fewer targets with little context, so the loss falls for any model.
    """
    return each(documents, lengths, settings, lambda d, n, length: slide(d, n, length, length))


def alibi_s1(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """ALiBi (appendix B): a window that moves by one token, so that every target but the first L has L tokens of context.

    Wrong across lengths: those first L are of every length's own, with little context. A forward pass for each token.
    """
    return each(documents, lengths, settings, lambda d, n, length: slide(d, n, length, 1))


def pi(documents: Documents, lengths: Sequence[int], settings: ProtocolSettings) -> ProtocolPlan:
    """Position Interpolation (Chen et al. 2023, arXiv:2306.15595, section 3.2): documents cut to max(L), stride 256.

    Wrong across lengths: contexts are L - 255 .. L tokens, at short L a large part of it, and the first window scores
    all its labels, which at the longest L are all there are.
    """
    return each(
        documents,
        lengths,
        settings,
        lambda d, n, length: slide(d, lengths[-1], length, min(STRIDE, length)),
    )


def yarn_paper(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """YaRN (Peng et al. 2023, arXiv:2309.00071, section 4.3.1), as its eval/perplexity.py computes it with --truncate.

    Wrong: each document is cut to its first L tokens, so the window never slides, contexts are 1 .. L - 1 tokens, and
    targets differ by length; the mean is over windows, not tokens.
    """
    return each(documents, lengths, settings, lambda d, n, length: [whole(d, length - 1, length)])


def longlora(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """LongLoRA (Chen et al. 2023, arXiv:2309.12307), as its eval.py computes it: the mean of whole windows at stride 256.

    Wrong: all labels of overlapping windows are scored, most of them up to L / 256 times and with 1 .. L - 1 tokens of
    context; the tail is dropped.
    """

    def windows(document: int, tokens: int, length: int) -> list[Window]:
        return [
            whole(document, start + length - 1, length)
            for start in range(0, tokens - length, STRIDE)
        ]

    return each(documents, lengths, settings, windows)


def whole(document: int, end: int, length: int) -> Window:
    """A window of `length` tokens in all, whose own mean counts as one; raises no error for lengths of at least 2."""
    return Window(document, end, length - 1, length - 1, weight=1 / (length - 1))


def each(
    documents: Documents,
    lengths: Sequence[int],
    settings: ProtocolSettings,
    windows: Callable[[int, int, int], Iterator[Window] | list[Window]],
) -> ProtocolPlan:
    """The windows of every kept document, from its index, its tokens and the context length."""
    counts = [int(n) for n in documents.lengths]
    kept = long_documents(counts, lengths[-1], settings.seed, settings.documents)
    return ProtocolPlan(
        {length: [w for d in kept for w in windows(d, counts[d], length)] for length in lengths}
    )
