"""The fixed-target protocol: the same target tokens at every context length, scored by any causal model. No files here.

Documents with at least longest + 1 tokens are kept, the same for all lengths. In each, disjoint blocks of K targets are
drawn with a seed of their own. At context length L the model reads document[e - L : e] and is scored on the last K of the
labels document[e - L + 1 : e + 1], so a target's context is L - K + 1 .. L tokens, and nothing else changes with L.

Shape suffixes: B windows in a batch, T tokens, K targets, V vocabulary, N windows.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Target(NamedTuple):
    """A block of targets: the labels of a document up to and including index `end`."""

    document: int
    end: int


def fixed_targets(
    lengths: Sequence[int], longest: int, size: int, blocks: int, seed: int, documents: int | None = None
) -> list[Target]:
    """Up to `blocks` disjoint blocks of `size` targets in every document (given by its tokens) of over `longest` tokens.

    Every block ends where a context of `longest` tokens fits before it. With `documents`, at most so many, drawn with the
    seed. Raises ValueError where no document is long enough.
    """
    kept = [index for index, length in enumerate(lengths) if length > longest]
    if not kept:
        raise ValueError(
            f"no held-out document has {longest + 1} tokens, as a context of {longest} needs; "
            f"the longest has {max(lengths, default=0)}"
        )
    if documents is not None and documents < len(kept):
        kept = sorted(np.random.default_rng(seed).permutation(kept)[:documents].tolist())
    chosen = []
    for document in kept:
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

    `model` maps tokens (B, T) to logits (B, T, V) or to an object with `.logits`; where its signature takes `last` or
    `logits_to_keep` it is asked for the last `size` positions only. `document(i)` gives the tokens of document i.
    Raises ValueError for a context shorter than a block.
    """
    if size > length:
        raise ValueError(f"a block of {size} targets does not fit a context of {length} tokens")
    options = last_positions(model, size)
    scored = []
    for batch in batches(targets, max(1, tokens_per_batch // length)):
        windows = np.stack([document(t.document)[t.end - length : t.end + 1] for t in batch])
        tokens_BT = torch.from_numpy(windows).to(device)
        output = model(tokens_BT[:, :-1], **options)
        logits_BTV = output if isinstance(output, Tensor) else getattr(output, "logits")  # noqa: B009
        logits_BKV, labels_BK = logits_BTV[:, -size:].float(), tokens_BT[:, -size:]
        nll_BK = F.cross_entropy(logits_BKV.transpose(1, 2), labels_BK, reduction="none")
        scored.append(nll_BK.double().cpu().numpy())
    return np.concatenate(scored)


def last_positions(model: Callable[..., object], size: int) -> dict[str, int]:
    """How this model is told to compute its head on the last `size` positions only, if it can be."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters
    return next(({name: size} for name in ("last", "logits_to_keep") if name in parameters), {})


def batches(targets: Sequence[Target], count: int) -> Iterator[Sequence[Target]]:
    return (targets[start : start + count] for start in range(0, len(targets), count))
