"""Near-copies among documents, and what of the held-out lines stands in training all the same.

A document counts as the set of its lines of at least 20 characters, without the blanks around
them; lines are known by hashes of 8 bytes, so a corpus takes 8 bytes a line, and the index of
signatures some 13 kB a document.
"""

import hashlib
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH
from scipy.cluster.hierarchy import DisjointSet

SHORTEST_LINE = 20  # characters; shorter ones are alike by chance
ALIKE = 0.2  # shared lines over all lines of two documents, from which on they are near-copies
BANDS = 42  # by ROWS values of a signature: finds 3 in 10 pairs that share 0.2 of their lines,
ROWS = 3  # 8 in 10 that share a third, and 996 in 1,000 that share a half
LINES_AT_ONCE = 2**14  # of a signature, for which each line takes half a kilobyte


def lines(text: str) -> np.ndarray:
    """Hashes of the lines that count, as often as they stand: uint64 (N,). The same on all machines."""
    long = [line for raw in text.splitlines() if len(line := raw.strip()) >= SHORTEST_LINE]
    hashes = b"".join(
        hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for line in long
    )
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def first_names(documents: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The first name, in sorted order, of the group of near-copies that each document is in.

    Documents come as (name, text), in any order; one without near-copies is left out. A pair that
    MinHash signatures suggest (Broder 1997) is compared line by line; pairs join into groups.
    """
    sets: dict[Hashable, np.ndarray] = {name: np.unique(lines(text)) for name, text in documents}
    groups = DisjointSet(sets)
    suggested = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    empty = MinHash(num_perm=BANDS * ROWS, hashfunc=int, scheme="affine32")
    for one, held in sets.items():
        if not len(held):
            continue
        signature = empty.copy()
        for begin in range(0, len(held), LINES_AT_ONCE):
            signature.update_batch((held[begin : begin + LINES_AT_ONCE] % 2**32).tolist())
        for other in suggested.query(signature):
            if not groups.connected(one, other) and alike(held, sets[other]):
                groups.merge(one, other)
        suggested.insert(one, signature, check_duplication=False)
    firsts: dict[str, str] = {}
    for group in groups.subsets():
        if len(group) > 1:
            members = sorted(group)
            firsts |= dict.fromkeys(members, members[0])
    return firsts


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two sets of lines, uint64 (N,) each, are near-copies by their Jaccard similarity."""
    if min(len(one), len(other)) < ALIKE * max(len(one), len(other)):
        return False
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared >= ALIKE * (len(one) + len(other) - shared)


def overlap(held_out: list[np.ndarray], training: list[np.ndarray]) -> dict[str, Any]:
    """The held-out lines that stand in a training document too; both sides as hashes, document by document.

    `lines` is their share; `documents_over_half` counts the held-out documents more than half of
    whose lines do, of `documents` in all.
    """
    largest = np.array([2**64 - 1], dtype=np.uint64)  # so that no hash sorts after all of them
    known = np.unique(np.concatenate([*held_out, largest]))
    stands = np.zeros(len(known), dtype=bool)
    for document in training:
        at = np.searchsorted(known, document)
        stands[at[known[at] == document]] = True
    counts = [(int(stands[np.searchsorted(known, one)].sum()), len(one)) for one in held_out]
    found = sum(count for count, _ in counts)
    return {
        "lines": round(found / max(1, sum(total for _, total in counts)), 4),
        "documents": len(held_out),
        "documents_over_half": sum(2 * count > total for count, total in counts),
    }
