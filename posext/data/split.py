"""Documents of one side of a corpus, and batches of their windows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from posext.utils.errors import PosextError
from posext.utils.rng import Stream, step_generator

MIN_DOCUMENTS = 10  # held-out documents of the longest context, for intervals over documents


class Names(Sequence[str]):
    """Names of documents, which are read once one is asked for, as millions take much memory.

    Args:
        read: Reads them, as arrays of strings.
    """

    def __init__(self, read: Callable[[], Iterable[pa.Array]]):
        self.read = read

    @cached_property
    def column(self) -> pa.ChunkedArray:
        """All names, in a quarter of the memory that they would take one by one."""
        strings = [array.cast(pa.string()) for array in self.read()]  # older caches: large ones
        return pa.chunked_array(strings, type=pa.string())

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: Any) -> Any:
        chosen = self.column[index]
        return Names(lambda: chosen.chunks) if isinstance(index, slice) else chosen.as_py()


class Origins(Sequence[str]):
    """Origins of windows, as name:offset, which are put together when they are read.

    Args:
        names: Names of documents.
        documents: The document of each window, (B,).
        offsets: The first token of each window in its document, (B,).
    """

    def __init__(self, names: Sequence[str], documents: np.ndarray, offsets: np.ndarray):
        self.names = names
        self.documents = documents
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, index: Any) -> Any:
        return f"{self.names[int(self.documents[index])]}:{self.offsets[index]}"


@dataclass(frozen=True)
class Split:
    """Documents of one side of the split, as slices of one flat token array."""

    tokens: np.ndarray  # (N,) memory-mapped
    starts: np.ndarray  # (D,) int64
    lengths: np.ndarray  # (D,) int64, tokens
    names: Sequence[str]
    # as made before, for millions of documents take a while
    ends_by_length: dict[int, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def document(self, index: int) -> np.ndarray:
        """Return the tokens of one document: int64 (n,)."""
        start = self.starts[index]
        return self.tokens[start : start + self.lengths[index]].astype(np.int64)

    def window_ends(self, length: int) -> np.ndarray:
        """Return the number of windows up to the end of each document: int64 (D,)."""
        if length not in self.ends_by_length:
            windows_D = self.lengths - length
            np.maximum(windows_D, 0, out=windows_D)
            self.ends_by_length[length] = np.cumsum(windows_D, out=windows_D)
        return self.ends_by_length[length]

    def batch(self, seed: int, step: int, length: int, count: int) -> tuple[Tensor, Origins]:
        """Draw windows, each within one document, all equally likely.

        A pure function of its arguments: there is no state between steps.

        Args:
            seed: The seed of the run.
            step: The step, counted from 0.
            length: Tokens of a sequence; windows have one more.
            count: The number of windows.

        Returns:
            Windows, int64 (count, length + 1), and the origin of each, as name:offset.

        Raises:
            PosextError: No document is long enough.
        """
        ends_D = self.window_ends(length)
        if not len(ends_D) or not ends_D[-1]:
            longest = int(self.lengths.max(initial=0))
            raise PosextError(
                f"no document has {length + 1} tokens, as a length of {length} needs; "
                f"the longest has {longest}"
            )
        rng = step_generator(seed, step, Stream.BATCH)
        picks = rng.integers(0, ends_D[-1], size=count)
        documents = np.searchsorted(ends_D, picks, side="right")
        choices = self.lengths[documents] - length
        offsets = picks - (ends_D[documents] - choices)
        firsts = self.starts[documents] + offsets
        windows = self.tokens[firsts[:, None] + np.arange(length + 1)].astype(np.int64)
        return torch.from_numpy(windows), Origins(self.names, documents, offsets)


def pieces(documents: Split, longest: int, room: int) -> Split:
    """Cut documents into pieces if fewer than MIN_DOCUMENTS have longest + 1 tokens.

    A document of several times longest + 1 + room tokens gives as many disjoint pieces of equal
    size, named NAME#0, NAME#1 .. in order; shorter ones are not cut. So a bootstrap over
    documents has more than one to draw from.

    Returns:
        The pieces; the same object if nothing is cut.
    """
    if np.count_nonzero(documents.lengths > longest) >= MIN_DOCUMENTS:
        return documents
    counts = np.maximum(documents.lengths // (longest + 1 + room), 1)
    if counts.max(initial=1) == 1:
        return documents
    starts: list[int] = []
    lengths: list[int] = []
    names: list[str] = []
    for index, count in enumerate(counts.tolist()):
        edges = np.arange(count + 1) * documents.lengths[index] // count
        starts += (documents.starts[index] + edges[:-1]).tolist()
        lengths += np.diff(edges).tolist()
        name = documents.names[index]
        names += [name] if count == 1 else [f"{name}#{piece}" for piece in range(count)]
    return Split(documents.tokens, np.array(starts), np.array(lengths), names)
