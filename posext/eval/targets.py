"""The fixed-target protocol: the same target tokens at every context length, scored by any causal model. No files here.

Documents with at least longest + 1 tokens are kept, the same for all lengths. In each, disjoint blocks of K targets are
drawn with a seed of their own. At context length L the model reads document[e - L : e] and is scored on the last K of the
labels document[e - L + 1 : e + 1], so a target's context is L - K + 1 .. L tokens, and nothing else changes with L.

Shape suffixes: K targets, N blocks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from posext.eval.scoring import Window, score_windows
from posext.utils.errors import PosextError


class Target(NamedTuple):
    """A block of targets: the labels of a document up to and including index `end`."""

    document: int
    end: int


def long_documents(
    lengths: Sequence[int], longest: int, seed: int, documents: int | None = None, targets: int = 1
) -> list[int]:
    """The documents (given by their tokens) that hold a context of `longest` tokens and so many targets after it.

    With `documents`, at most so many, drawn with the seed. Raises PosextError where no document is long enough.
    """
    kept = [index for index, length in enumerate(lengths) if length >= longest + targets]
    if not kept:
        raise PosextError(
            f"no held-out document has {longest + targets} tokens, as a context of {longest} needs; "
            f"the longest has {max(lengths, default=0)}"
        )
    if documents is not None and documents < len(kept):
        kept = sorted(np.random.default_rng(seed).permutation(kept)[:documents].tolist())
    return kept


def fixed_targets(
    lengths: Sequence[int],
    longest: int,
    size: int,
    blocks: int,
    seed: int,
    documents: int | None = None,
) -> list[Target]:
    """Up to `blocks` disjoint blocks of `size` targets in every document (given by its tokens) of over `longest` tokens.

    Every block ends where a context of `longest` tokens fits before it. With `documents`, at most so many, drawn with the
    seed. Raises PosextError where no document is long enough.
    """
    chosen = []
    for document in long_documents(lengths, longest, seed, documents):
        rng = np.random.default_rng([seed, document])
        last = lengths[document] - 1
        room, spare = divmod(last - longest, size)
        shift = longest + int(rng.integers(spare + 1))
        slots = rng.permutation(room + 1)[:blocks]
        chosen += [Target(document, shift + size * int(slot)) for slot in sorted(slots)]
    return chosen


def score(
    model: Callable[..., object],
    document: Callable[[int], np.ndarray],
    targets: Sequence[Target],
    length: int,
    size: int,
    tokens_per_batch: int,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """The NLL in nats of each target of each block after `length` tokens of context: float64 (N, size).

    Arguments and errors are those of `score_windows`.
    """
    windows = [Window(target.document, target.end, length, size) for target in targets]
    return np.stack(score_windows(model, document, windows, tokens_per_batch, device))
