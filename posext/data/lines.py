"""Hashes of the lines of a text, by which documents are compared."""

import hashlib

import numpy as np

SHORTEST_LINE = 20  # characters; shorter ones are alike by chance
LINE_TYPE = np.dtype("<u8")  # of a hash


def lines(text: str) -> np.ndarray:
    """Return hashes of the lines that count, with repetitions: uint64 (N,).

    The hashes are the same on all machines.
    """
    stripped = (line.strip() for line in text.splitlines())
    hashes = b"".join(
        hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for line in stripped
        if len(line) >= SHORTEST_LINE
    )
    return np.frombuffer(hashes, dtype=LINE_TYPE).astype(np.uint64)
