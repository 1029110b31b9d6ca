"""The tokens that keys and values of recall pairs are drawn from.

They are rare in text, so that reserving them loses little, and common enough to be learned.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from posext.data.dataset import Data
from posext.utils.errors import PosextError

SIZE = 64
MAX_SHARE = 1e-3  # of the training text, for each token
COUNTED_TOKENS = 2**23  # of the training text


class Pool(NamedTuple):
    """Tokens for keys and values, and one that replaces them in the text around."""

    rare: np.ndarray  # int64 (SIZE,)
    common: int  # the most common token, never part of a key or value


@cache
def pool_of(tokens: Data) -> Pool:
    """Return the SIZE most common of the tokens that are each at most 0.1 % of the training text.

    Special tokens are left out. Raises PosextError if there are too few, as in a synthetic
    corpus, whose symbols are all common.
    """
    counts = np.zeros(tokens.vocab_size, dtype=np.int64)
    for document in range(len(tokens.train.lengths)):
        counts += np.bincount(tokens.train.document(document), minlength=len(counts))
        if counts.sum() >= COUNTED_TOKENS:
            break
    is_rare = counts <= MAX_SHARE * counts.sum()
    candidates = np.flatnonzero(is_rare & (tokens.bytes_per_token > 0))
    if len(candidates) < SIZE:
        raise PosextError(
            f"recall draws keys and values from {SIZE} tokens that are each at most "
            f"{MAX_SHARE:.1%} of the training text; "
            f"of this vocabulary of {len(counts)} only {len(candidates)} are"
        )
    by_count = candidates[np.argsort(-counts[candidates], kind="stable")]
    return Pool(by_count[:SIZE], int(counts.argmax()))
