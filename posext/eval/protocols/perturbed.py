"""The targets of the longest context again, with everything farther than k tokens changed.

A flat curve does not say that far text is read. What the loss loses without that text does.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from posext.eval.perturbation import CHANGES, DROPPED, Perturbation
from posext.eval.protocols.fixed_target import fixed_target
from posext.eval.protocols.plan import Documents, ProtocolPlan, ProtocolSettings, token_counts
from posext.eval.scoring import TargetWindow
from posext.utils.errors import PosextError

INTACT = "intact"  # the group of the windows that are not changed


def perturbed(
    documents: Documents, lengths: Sequence[int], settings: ProtocolSettings
) -> ProtocolPlan:
    """Far text shuffled, replaced by another document's, or dropped (Khandelwal et al. 2018).

    Windows of a document at max(L) = 8 with K = 2, where `x` is what is changed:

        k = 1    xxxxxx.##   and shorter      .##
        k = 2    xxxxx..##                   ..##
        k = 4    xxx....##                 ....##
        L = 8    .......##

    The windows are those of `fixed_target` at the longest context. Each is cut into pieces of at
    most `settings.piece` targets that start at the same token, so a piece reads what stands before
    it in the whole window. The distance k counts from the first target of a piece: a target has k
    to k + K - 1 tokens of its own text before it. The distances are the powers of two below the
    context of the first target.

    The windows at "context length" k are in the groups `shuffled`, `replaced` and `dropped`; those
    at the longest context are unchanged, in the group `intact`. All have the same targets. The text
    that replaces is one stretch for each piece, the same at every k.

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing; only the last is used, and all draw the targets.
        settings: Settings of `fixed_target`, and `piece`.

    Raises:
        PosextError: No document is long enough, or only one is.
    """
    longest = lengths[-1]
    whole = fixed_target(documents, lengths, settings).windows[longest]
    intact = [piece for window in whole for piece in pieces(window, settings.piece)]
    texts = stand_ins(intact, documents, longest, settings.seed)
    windows = {
        kept: [
            changed(window, text._replace(change=change, kept=kept))
            for change in CHANGES
            for window, text in zip(intact, texts, strict=True)
        ]
        for kept in distances(min(window.length - window.scored + 1 for window in intact))
    }
    return ProtocolPlan({**windows, longest: intact}, groups)


def groups(window: TargetWindow) -> np.ndarray:
    """The change of a window, for all its scored labels: (scored,)."""
    change = window.perturbation.change if window.perturbation else INTACT
    return np.full(window.scored, change)


def distances(context: int) -> list[int]:
    """Powers of two below the tokens before a target, from 1 on."""
    return [2**power for power in range((context - 1).bit_length())]


def pieces(window: TargetWindow, size: int) -> Iterator[TargetWindow]:
    """Cut a window into windows of at most `size` targets, with the same first token."""
    start = window.end - window.length
    for first in range(window.labels.start, window.labels.stop, size):
        end = min(first + size - 1, window.end)
        yield TargetWindow(window.document, end, end - start, end - first + 1)


def stand_ins(
    windows: Sequence[TargetWindow], documents: Documents, longest: int, seed: int
) -> list[Perturbation]:
    """Draw the seed and the text of another document for the changes of each window.

    Raises PosextError if no other document has as many tokens as the longest context.
    """
    counts = token_counts(documents)
    long = [index for index, count in enumerate(counts) if count >= longest]
    if len(long) < 2:
        raise PosextError(
            f"the protocol perturbed needs two held-out documents of {longest} tokens, "
            "as the text of one stands in for that of another; there is one"
        )
    place = {document: number for number, document in enumerate(long)}
    texts = []
    for window in windows:
        seeds = (seed, window.document, window.labels.start)
        rng = np.random.default_rng(seeds)
        steps = 1 + int(rng.integers(len(long) - 1))  # never back to the document itself
        source = long[(place[window.document] + steps) % len(long)]
        start = int(rng.integers(counts[source] - longest + 1))
        texts.append(Perturbation("", 0, seeds, source, start))
    return texts


def changed(window: TargetWindow, perturbation: Perturbation) -> TargetWindow:
    """Perturb a window; one whose far text is dropped is shorter."""
    if perturbation.change == DROPPED:
        window = window._replace(length=perturbation.kept + window.scored - 1)
    return window._replace(perturbation=perturbation)
