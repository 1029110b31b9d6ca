"""Splits of a corpus made from lists of tokens, without files."""

from collections.abc import Sequence

import numpy as np

from posext.data.split import Split


def split_of(*documents: Sequence[int] | np.ndarray) -> Split:
    """Return a split of documents named d0, d1 .. with these tokens."""
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    parts = [np.array(document, dtype=np.uint16) for document in documents]
    tokens = np.concatenate(parts) if parts else np.array([], dtype=np.uint16)
    names = [f"d{index}" for index in range(len(documents))]
    return Split(tokens, np.cumsum(lengths) - lengths, lengths, names)
