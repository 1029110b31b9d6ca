"""Text of held-out documents that stands in training documents too, counted in their tokens.

Unlike `near_duplicates`, which compares lines of one corpus, this compares two corpora that have
one tokenizer, whatever their lines.

Shape suffixes: N stretches, P positions.
"""

import numpy as np

from posext.data.split import Split

STRETCH = 32  # tokens, a power of two; shorter ones recur by chance
MOST_STRETCHES = 2**20  # of more, as many at equal distances are looked up
POSITIONS_AT_ONCE = 2**20
BASE = 0x9E3779B97F4A7C15  # odd: of the hash, a polynomial modulo 2^64
BITS = 24  # of the table that passes over most positions


def shared_share(held_out: Split, training: Split) -> float:
    """Return the share of the held-out stretches of 32 tokens that a training document has.

    The stretches lie side by side in the held-out documents, and anywhere in training documents.
    One pass over the training tokens, in constant memory.
    """
    hashes_N = stretch_hashes(held_out)
    distinct = np.unique(hashes_N)
    if not len(distinct):
        return 0.0
    table = np.zeros(2**BITS, dtype=bool)
    table[places(distinct)] = True
    is_found = np.zeros(len(distinct), dtype=bool)
    ends = training.starts + training.lengths
    for begin in range(0, len(training.tokens), POSITIONS_AT_ONCE):
        hashes_P = rolling_hashes(training.tokens[begin : begin + POSITIONS_AT_ONCE + STRETCH - 1])
        candidates = np.flatnonzero(table[places(hashes_P)])
        ranks = np.searchsorted(distinct, hashes_P[candidates])
        is_match = distinct[np.minimum(ranks, len(distinct) - 1)] == hashes_P[candidates]
        positions = begin + candidates[is_match]
        documents = np.searchsorted(training.starts, positions, side="right") - 1
        is_within = (documents >= 0) & (positions + STRETCH <= ends[documents])
        is_found[ranks[is_match][is_within]] = True
    return float(is_found[np.searchsorted(distinct, hashes_N)].mean())


def stretch_hashes(documents: Split) -> np.ndarray:
    """Return the hashes of the stretches of documents: uint64 (N,)."""
    starts = [
        np.arange(start, start + length - STRETCH + 1, STRETCH)
        for start, length in zip(documents.starts, documents.lengths, strict=True)
        if length >= STRETCH
    ]
    if not starts:
        return np.empty(0, dtype=np.uint64)
    starts_N = np.concatenate(starts)
    starts_N = starts_N[:: -(-len(starts_N) // MOST_STRETCHES)]
    step = POSITIONS_AT_ONCE // STRETCH
    hashes = []
    for first in range(0, len(starts_N), step):
        indices = starts_N[first : first + step, None] + np.arange(STRETCH)
        hashes.append(rolling_hashes(documents.tokens[indices])[:, 0])
    return np.concatenate(hashes)


def rolling_hashes(tokens: np.ndarray) -> np.ndarray:
    """Return the hash of the stretch that begins at each token of the last axis, by doubling."""
    hashes = tokens.astype(np.uint64)
    factor = BASE
    width = 1
    while width < STRETCH:
        hashes = hashes[..., :-width] * np.uint64(factor) + hashes[..., width:]
        factor = factor * factor % 2**64
        width *= 2
    return hashes


def places(hashes: np.ndarray) -> np.ndarray:
    """Return the places of hashes in the table: their upper bits, mixed."""
    return (hashes * np.uint64(BASE)) >> np.uint64(64 - BITS)
