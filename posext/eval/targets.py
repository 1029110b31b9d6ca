"""Blocks of target tokens that are the same at every context length.

Pure functions: no files are read or written. Only documents with at least longest + 1 tokens are
used, the same ones at all lengths. In each document, disjoint blocks of T targets are drawn from a
generator seeded with (seed, document). At context length L a block is scored in pieces of
K = min(T, share L) targets: the model reads document[e - L : e] and scores the last K of the labels
document[e - L + 1 : e + 1]. The context of a target is therefore L - K + 1 .. L tokens, and nothing
else changes with L. For the term `fixed_target` see posext.analysis.curves.

Shape suffixes: K targets, N blocks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from posext.eval.scoring import TargetWindow, score_windows
from posext.utils.errors import PosextError


class Target(NamedTuple):
    """A block of targets: the labels of a document up to and including index `end`."""

    document: int
    end: int


def long_documents(
    lengths: Sequence[int], longest: int, seed: int, documents: int | None = None, targets: int = 1
) -> list[int]:
    """Select the documents that hold the longest context and the targets after it.

    Args:
        lengths: Tokens of each document.
        longest: Longest context length in tokens.
        seed: Seed of the draw of documents.
        documents: Largest number of documents; None selects all that are long enough.
        targets: Number of targets after the context.

    Returns:
        Indices of the documents, increasing.

    Raises:
        PosextError: No document is long enough.
    """
    selected = [index for index, length in enumerate(lengths) if length >= longest + targets]
    if not selected:
        raise PosextError(
            f"no held-out document has {longest + targets} tokens, as a context of {longest} and "
            f"its targets need; the longest has {max(lengths, default=0)}"
        )
    if documents is not None and documents < len(selected):
        shuffled = np.random.default_rng(seed).permutation(selected)
        selected = sorted(shuffled[:documents].tolist())
    return selected


def fixed_targets(
    lengths: Sequence[int],
    longest: int,
    size: int,
    blocks: int,
    seed: int,
    documents: int | None = None,
    spare: int = 0,
) -> list[Target]:
    """Draw disjoint blocks of targets, each with room for the longest context before its end.

    Args:
        lengths: Tokens of each document.
        longest: Longest context length in tokens.
        size: Targets of a block.
        blocks: Largest number of blocks of a document.
        seed: Seed of the draws.
        documents: Largest number of documents; None uses all that are long enough.
        spare: Tokens before the longest context, which the first pieces of a block need.

    Returns:
        Blocks in the order of documents and positions.

    Raises:
        PosextError: No document is long enough.
    """
    targets = []
    first = longest + spare
    for document in long_documents(lengths, longest, seed, documents, targets=spare + 1):
        rng = np.random.default_rng([seed, document])
        last = lengths[document] - 1
        last_slot, rest = divmod(last - first, size)
        shift = first + int(rng.integers(rest + 1))
        slots = rng.permutation(last_slot + 1)[:blocks]
        targets += [Target(document, shift + size * int(slot)) for slot in sorted(slots)]
    return targets


def piece_size(size: int, share: float, length: int) -> int:
    """Return the targets that one window of a block scores at a context length.

    Args:
        size: Targets of a block.
        share: Largest share of a window that is scored; the rest is context alone.
        length: Context length in tokens.
    """
    return max(1, min(size, int(share * length)))


def spare_tokens(lengths: Sequence[int], size: int, share: float) -> int:
    """Return the tokens that the windows of a block need before the longest context of its end.

    Args:
        lengths: Context lengths, increasing.
        size: Targets of a block.
        share: Largest share of a window that is scored.
    """
    needed = []
    for length in lengths:
        piece = piece_size(size, share, length)
        needed.append(length + (size - 1) // piece * piece)
    return max(needed) - lengths[-1]


def block_windows(target: Target, length: int, size: int, share: float) -> list[TargetWindow]:
    """Cut a block into the windows that score it at one context length, in order.

    The first window scores what is left over when the others score `piece_size` targets each.

    Args:
        target: The block.
        length: Context length in tokens.
        size: Targets of the block.
        share: Largest share of a window that is scored.
    """
    piece = piece_size(size, share, length)
    ends = range(target.end, target.end - size, -piece)
    windows = [
        TargetWindow(target.document, end, length, min(piece, end - target.end + size))
        for end in ends
    ]
    return windows[::-1]


def score(
    model: Callable[..., object],
    document: Callable[[int], np.ndarray],
    targets: Sequence[Target],
    length: int,
    size: int,
    tokens_per_batch: int,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Score blocks of targets at one context length.

    Args:
        model: A causal model, as `posext.eval.scoring.target_nll` takes it.
        document: Function from the index of a document to its tokens, int64 (n,).
        targets: N blocks.
        length: Context length in tokens.
        size: Targets of a block.
        tokens_per_batch: Upper limit of the tokens of a batch.
        device: Device of the model.

    Returns:
        The NLL in nats of each target, float64 (N, size).

    Raises:
        PosextError: As `score_windows` does.
    """
    windows = [TargetWindow(target.document, target.end, length, size) for target in targets]
    return np.stack(score_windows(model, document, windows, tokens_per_batch, device))
