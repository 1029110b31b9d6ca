"""What a protocol is: a choice of windows in held-out documents for every context length, made without the model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from posext.eval.scoring import Window
from posext.utils.errors import PosextError


class Documents(Protocol):
    """Held-out documents; posext.data.dataset.Split is one."""

    @property
    def lengths(self) -> Sequence[int] | np.ndarray: ...  # tokens of each
    @property
    def names(self) -> Sequence[str]: ...
    def document(self, index: int) -> np.ndarray: ...  # int64 (n,)


@dataclass(frozen=True)
class ProtocolSettings:
    """All that any protocol is told; each takes what it needs."""

    train_length: int  # tokens
    size: int  # targets in a block
    blocks: int = 4  # blocks, or windows, drawn in a document
    seed: int = 0  # of what is drawn; never the model's
    documents: int | None = None  # at most so many; None: all that are long enough
    stride: int | None = (
        None  # tokens by which `sliding` moves on; None: an eighth of the context length
    )
    ngram: int = 3  # tokens before a target that must recur with it for `far_copy`


def ungrouped(window: Window) -> np.ndarray:
    return np.full(window.scored, "")


class ProtocolPlan(NamedTuple):
    """What is scored at each context length, and into which group of targets each label of a window falls (scored,)."""

    windows: dict[int, list[Window]]
    groups: Callable[[Window], np.ndarray] = ungrouped
    groups_are_lengths: bool = (
        False  # a group is a context length within one pass, and is named by it
    )


ProtocolFn = Callable[
    [Documents, Sequence[int], ProtocolSettings], ProtocolPlan
]  # the lengths increase


def slide(
    document: int, tokens: int, length: int, stride: int, burn_in: int = 0
) -> Iterator[Window]:
    """Windows of up to `length` tokens that score every label after the first `burn_in` once, `stride` at a time.

    A target's context is length - stride + 1 .. length tokens; less where the document begins, as the first window then
    scores all that it can. At the document's end the last window is cut short where it stands, so a target's context
    depends on its place alone. Raises PosextError for a stride that would leave labels out.
    """
    if not 1 <= stride <= length:
        raise PosextError(
            f"a stride must lie between 1 and the context length {length}, not {stride}"
        )
    first = burn_in + 1
    while first < tokens:
        whole = max(first + stride - 1, length)  # the last label of a window that is not cut
        end = min(whole, tokens - 1)
        yield Window(document, end, end - (whole - length), end - first + 1)
        first = whole + 1
