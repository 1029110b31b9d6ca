"""Near-copies among documents, and the overlap of held-out lines with training.

A document is represented by the set of its lines of at least 20 characters, stripped: see
`posext.data.lines`. A corpus takes 8 bytes a line, and the index of signatures some
13 kB a document.
"""

import hashlib
from collections.abc import Hashable, Iterable
from itertools import groupby
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH
from scipy.cluster.hierarchy import DisjointSet

from posext.data.lines import lines

MIN_JACCARD = 0.2  # shared lines over all lines of two documents that are near-copies
# A signature has BANDS bands of ROWS_PER_BAND values: it finds 3 in 10 pairs that share 0.2 of
# their lines, 8 in 10 that share a third, and 996 in 1,000 that share a half.
BANDS = 42
ROWS_PER_BAND = 3
LINES_AT_ONCE = 2**14  # added to a signature; each line takes half a kilobyte


def first_names(documents: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each document that has near-copies to the first name, in sorted order, of its group.

    Documents of the same lines are a group, of which the first alone is compared with others. Pairs
    suggested by MinHash signatures (Broder 1997) are compared line by line; pairs join into groups.

    Args:
        documents: (name, text) of each, in any order; parts of one follow one another.
    """
    line_sets: dict[Hashable, np.ndarray] = {
        name: np.unique(np.concatenate([lines(text) for _, text in parts]))
        for name, parts in groupby(documents, lambda document: document[0])
    }
    groups = DisjointSet(line_sets)
    index = MinHashLSH(num_perm=BANDS * ROWS_PER_BAND, params=(BANDS, ROWS_PER_BAND))
    empty = MinHash(num_perm=BANDS * ROWS_PER_BAND, hashfunc=int, scheme="affine32")
    first_of: dict[bytes, Hashable] = {}  # the first document of each set of lines, by its hash
    for name, line_set in line_sets.items():
        if not len(line_set):
            continue
        first = first_of.setdefault(hashlib.sha256(line_set.tobytes()).digest(), name)
        if first != name:
            groups.merge(first, name)
            continue
        signature = empty.copy()
        for begin in range(0, len(line_set), LINES_AT_ONCE):
            signature.update_batch((line_set[begin : begin + LINES_AT_ONCE] % 2**32).tolist())
        for other in index.query(signature):
            if not groups.connected(name, other) and alike(line_set, line_sets[other]):
                groups.merge(name, other)
        index.insert(name, signature, check_duplication=False)
    firsts: dict[str, str] = {}
    for group in groups.subsets():
        if len(group) > 1:
            members = sorted(group)
            firsts |= dict.fromkeys(members, members[0])
    return firsts


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two sets of lines, uint64 (N,) each, have a Jaccard similarity of 0.2."""
    if min(len(one), len(other)) < MIN_JACCARD * max(len(one), len(other)):
        return False
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared >= MIN_JACCARD * (len(one) + len(other) - shared)


def overlap(
    held_out: np.ndarray, counts_D: np.ndarray, training: Iterable[np.ndarray]
) -> dict[str, Any]:
    """Count the held-out lines that also occur in a training document.

    Args:
        held_out: The line hashes of all held-out documents, one after the other.
        counts_D: The number of lines of each.
        training: The line hashes of training documents, one or several at a time.

    Returns:
        `lines`, the share of the held-out lines; `documents_over_half`, the number of held-out
        documents with more than half of their lines in training; `documents`, of how many.
    """
    sentinel = np.array([2**64 - 1], dtype=np.uint64)  # so that no hash sorts after all others
    distinct = np.unique(np.concatenate([held_out, sentinel]))
    in_training = np.zeros(len(distinct), dtype=bool)
    for document in training:
        places = np.searchsorted(distinct, document)
        in_training[places[distinct[places] == document]] = True
    shared = np.cumsum(in_training[np.searchsorted(distinct, held_out)])
    shared = np.concatenate([[0], shared])
    ends_D = np.cumsum(counts_D)
    shared_D = shared[ends_D] - shared[ends_D - counts_D]
    return {
        "lines": round(int(shared[-1]) / max(1, len(held_out)), 4),
        "documents": len(counts_D),
        "documents_over_half": int((2 * shared_D > counts_D).sum()),
    }
