"""Windows over joined documents, so that documents shorter than a window count: `data.pack`."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from posext.data.split import Origins, Split
from posext.utils.errors import PosextError
from posext.utils.rng import Stream, step_generator


class Joined:
    """Documents one after the other, each with a separator behind it, in an order of its own.

    The order is shuffled once, as neighbours in a corpus are alike. Attention passes over the
    separators, unless `data.mask_documents` hides a document from the next one.
    """

    def __init__(self, split: Split, separator: int):
        self.split = split
        self.separator = separator

    @cached_property
    def order(self) -> np.ndarray:
        """The documents that are not empty, shuffled: int64 (D,)."""
        return np.random.default_rng(0).permutation(np.flatnonzero(self.split.lengths))

    @cached_property
    def ends(self) -> np.ndarray:
        """The place behind each document and its separator, in that order: int64 (D,)."""
        return np.cumsum(self.split.lengths[self.order] + 1)

    def batch(self, seed: int, step: int, length: int, count: int) -> tuple[Tensor, Origins]:
        """Draw windows of the joined documents, all equally likely; else as `Split.batch`.

        Raises PosextError if all documents together are too short.
        """
        total = int(self.ends[-1]) if len(self.ends) else 0
        if total <= length:
            raise PosextError(
                f"all documents together have {total} tokens with their separators, "
                f"and a length of {length} needs {length + 1}"
            )
        rng = step_generator(seed, step, Stream.BATCH)
        first_places = rng.integers(0, total - length, size=count)
        windows = np.empty((count, length + 1), dtype=np.int64)
        firsts = [self.fill(*pair) for pair in zip(windows, first_places, strict=True)]
        return torch.from_numpy(windows), Origins(self.split.names, *np.array(firsts).T)

    def fill(self, window_T: np.ndarray, place: int) -> tuple[int, int]:
        """Write the tokens from a place on into a window.

        Returns:
            The document of the first, and its offset there.
        """
        number = int(np.searchsorted(self.ends, place, side="right"))
        length = int(self.split.lengths[self.order[number]])
        offset = length + 1 - int(self.ends[number] - place)
        first = int(self.order[number]), offset
        filled = 0
        while filled < len(window_T):
            start = int(self.split.starts[self.order[number]])
            length = int(self.split.lengths[self.order[number]])
            piece = self.split.tokens[start + offset : start + length][: len(window_T) - filled]
            window_T[filled : filled + len(piece)] = piece
            window_T[filled + len(piece) : filled + len(piece) + 1] = self.separator
            filled += len(piece) + 1
            number += 1
            offset = 0
        return first


def use_in_words(split: Split, length: int, pack: bool) -> str:
    """Return what share of the training text windows of a length are drawn from, as a sentence."""
    total = int(split.lengths.sum())
    share = split.lengths[split.lengths > length].sum() / max(1, total)
    text = f"{total:,} tokens in {len(split.lengths):,} documents"
    long_enough = f"documents of at least {length + 1:,} tokens"
    if pack:
        return f"{text}, all of them used as documents are joined; {share:.1%} are in {long_enough}"
    more = "; data.pack=true joins documents and uses all" if share < 1 else ""
    return f"{text}, of which {share:.1%} are used, those in {long_enough}{more}"
