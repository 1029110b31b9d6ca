"""Types of a protocol: a choice of windows in documents for each context length, model-free."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from posext.eval.scoring import TargetWindow
from posext.eval.targets import long_documents
from posext.utils.errors import PosextError


class Documents(Protocol):
    """Held-out documents; posext.data.split.Split is one implementation.

    `lengths` are the tokens of each document, and `document` gives its tokens, int64 (n,).
    """

    @property
    def lengths(self) -> Sequence[int] | np.ndarray: ...
    @property
    def names(self) -> Sequence[str]: ...
    def document(self, index: int) -> np.ndarray: ...


# A judge of targets: from documents and windows to the NLL of the scored labels of each window.
Judge = Callable[[Documents, Sequence[TargetWindow]], list[np.ndarray]]


@dataclass(frozen=True)
class ProtocolSettings:
    """Settings of all protocols; each protocol uses some of them.

    Args:
        train_length: Longest length trained, in tokens.
        size: Targets of a block.
        blocks: Largest number of blocks, or windows, drawn in a document.
        seed: Seed of the draws; independent of the model's seed.
        documents: Largest number of documents; None uses all that are long enough.
        stride: Stride of `sliding` in tokens; None means an eighth of the context length.
        ngram: Tokens before a target that must recur with it in `far_copy`.
        far_beyond: Tokens back from which text is far; None means `train_length`.
        scored_share: Largest share of a window that is scored; a block is cut into pieces for it.
        piece: Largest number of targets of a window of `perturbed`.
        key_alpha: A key of `key_tokens` gains more nats from the long context.
        key_beta: A key has a higher log-likelihood after the long context.
        key_short: Tokens of the short context of the judge; None means `beyond`.
        judge: Chooses the keys of `key_tokens`.
    """

    train_length: int
    size: int
    blocks: int = 4
    seed: int = 0
    documents: int | None = None
    stride: int | None = None
    ngram: int = 3
    far_beyond: int | None = None
    scored_share: float = 0.5
    piece: int = 64
    key_alpha: float = 2.0
    key_beta: float = -2.0
    key_short: int | None = None
    judge: Judge | None = None

    @property
    def beyond(self) -> int:
        """Tokens back from which text is far."""
        return self.far_beyond or self.train_length


def ungrouped(window: TargetWindow) -> np.ndarray:
    """One group, with an empty name, for all scored labels: (scored,)."""
    return np.full(window.scored, "")


class ProtocolPlan(NamedTuple):
    """Windows at each context length, and the group of each scored label of a window (scored,).

    With `groups_are_lengths`, the groups are context lengths within one pass and are named by them.
    `parts` are finer groups, whose sums are stored beside. `counts` says by document how groups
    came about, where a judge chose them.
    """

    windows: dict[int, list[TargetWindow]]
    groups: Callable[[TargetWindow], np.ndarray] = ungrouped
    groups_are_lengths: bool = False
    parts: Callable[[TargetWindow], np.ndarray] | None = None
    counts: pd.DataFrame | None = None


# A protocol: from documents, increasing context lengths and settings to a plan.
ProtocolFn = Callable[[Documents, Sequence[int], ProtocolSettings], ProtocolPlan]


def token_counts(documents: Documents) -> list[int]:
    """Tokens of each document, as Python integers."""
    return [int(length) for length in documents.lengths]


def plan_per_document(
    documents: Documents,
    lengths: Sequence[int],
    settings: ProtocolSettings,
    windows: Callable[[int, int, int], Iterable[TargetWindow]],
    targets: int = 1,
) -> ProtocolPlan:
    """Plan with the windows of every document that holds the longest context and its targets.

    Args:
        documents: Held-out documents.
        lengths: Context lengths, increasing.
        settings: Settings; `seed` and `documents` are used.
        windows: Function from the index of a document, its tokens and the context length to its
            windows.
        targets: Number of targets that must follow the longest context.

    Raises:
        PosextError: No document is long enough.
    """
    counts = token_counts(documents)
    selected = long_documents(counts, lengths[-1], settings.seed, settings.documents, targets)
    return ProtocolPlan(
        {
            length: [
                window
                for document in selected
                for window in windows(document, counts[document], length)
            ]
            for length in lengths
        }
    )


def slide(
    document: int, tokens: int, length: int, stride: int, burn_in: int = 0
) -> Iterator[TargetWindow]:
    """Slide a window over a document, scoring every label after the first `burn_in` once.

    The context of a target is length - stride + 1 .. length tokens. It is shorter at the start of
    the document, because the first window scores all labels that it can. At the end of the document
    the last window keeps its start and is cut short, so the context of a target depends on its
    position alone.

    Args:
        document: Index of the document.
        tokens: Tokens of the document.
        length: Context length in tokens.
        stride: Labels scored by a window after the first.
        burn_in: Labels at the start that are not scored.

    Raises:
        PosextError: The stride is above the context length, which would leave labels out, or
            below 1.
    """
    if not 1 <= stride <= length:
        raise PosextError(
            f"a stride must lie between 1 and the context length {length}, not {stride}"
        )
    first = burn_in + 1
    while first < tokens:
        uncut_end = max(first + stride - 1, length)  # the last label of a window that is not cut
        end = min(uncut_end, tokens - 1)
        yield TargetWindow(document, end, end - (uncut_end - length), end - first + 1)
        first = uncut_end + 1
