"""What a window reads in place of its far text, to see how much that text is worth.

Khandelwal et al. 2018 (arXiv:1805.04623, sections 3 to 5) drop and shuffle the far context of LSTMs
and replace it by other text; Sun et al. 2021 (arXiv:2109.09115) do so for long-range Transformers.

Shape suffix: T tokens.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SHUFFLED, REPLACED, DROPPED = CHANGES = ("shuffled", "replaced", "dropped")


class Perturbation(NamedTuple):
    """A change of the tokens that stand more than `kept` tokens before the first target.

    They are shuffled with the seed `seed`, or replaced by the tokens of the document `source` from
    `start` on, or dropped: then the window starts after them, and nothing is left to change.
    """

    change: str
    kept: int
    seed: tuple[int, ...] = ()
    source: int = 0
    start: int = 0


def perturb(
    tokens_T: np.ndarray,
    scored: int,
    perturbation: Perturbation,
    document: Callable[[int], np.ndarray],
) -> np.ndarray:
    """Change the far tokens of a window.

    Args:
        tokens_T: The tokens of the window up to its last target, int64.
        scored: Targets, the last of the tokens; they stay as they are.
        perturbation: The change.
        document: Function from the index of a document to its tokens, int64 (n,).

    Returns:
        The tokens (T,), changed in the first T - scored - kept places.
    """
    far = len(tokens_T) - scored - perturbation.kept
    if perturbation.change == SHUFFLED:
        changed = np.random.default_rng(perturbation.seed).permutation(tokens_T[:far])
    elif perturbation.change == REPLACED:
        changed = document(perturbation.source)[perturbation.start : perturbation.start + far]
    else:
        changed = tokens_T[:far]
    return np.concatenate([changed, tokens_T[far:]])
