"""The tokens that keys and values are drawn from: rare enough to be missed nowhere, common enough to have been learned."""

from functools import cache
from typing import NamedTuple

import numpy as np

from posext.data.dataset import Data
from posext.utils.errors import PosextError

SIZE = 64
RARE = 1e-3  # of the training text, at most, is each of them
COUNTED = 2**23  # training tokens that are counted


class Pool(NamedTuple):
    rare: np.ndarray  # int64 (SIZE,)
    common: int  # the commonest token, which no key or value holds


@cache
def pool_of(tokens: Data) -> Pool:
    """Of the tokens that are each at most 0.1 % of the training text the SIZE commonest, special ones left out.

    Raises PosextError where there are too few, as in a drawn corpus: all of its symbols are common.
    """
    counts = np.zeros(tokens.vocab_size, dtype=np.int64)
    for document in range(len(tokens.train.lengths)):
        counts += np.bincount(tokens.train.document(document), minlength=len(counts))
        if counts.sum() >= COUNTED:
            break
    candidates = np.flatnonzero((counts <= RARE * counts.sum()) & (tokens.bytes_per_token > 0))
    if len(candidates) < SIZE:
        raise PosextError(
            f"recall draws keys and values from {SIZE} tokens that are each at most {RARE:.1%} of the training text; "
            f"of this vocabulary of {len(counts)} only {len(candidates)} are"
        )
    by_count = candidates[np.argsort(-counts[candidates], kind="stable")]
    return Pool(by_count[:SIZE], int(counts.argmax()))
