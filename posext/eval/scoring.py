"""The likelihood that any causal model gives the labels of windows. No files here.

A window reads `length` tokens up to the one before its last label, and is scored on its last `scored` labels.

Shape suffixes: B windows in a batch, T tokens, K targets, V vocabulary, C model width, N windows.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from posext.model.loss import nll_of, split
from posext.utils.errors import PosextError


class Window(NamedTuple):
    """The model reads document[end - length : end] and is scored on the last `scored` labels, up to index `end`."""

    document: int
    end: int
    length: int
    scored: int
    weight: float = 1.0  # of each of its labels in the mean

    @property
    def labels(self) -> slice:
        """Where in the document its scored labels stand."""
        return slice(self.end - self.scored + 1, self.end + 1)


def score_windows(
    model: Callable[..., object],
    document: Callable[[int], np.ndarray],
    windows: Sequence[Window],
    tokens_per_batch: int,
    device: torch.device | str = "cpu",
) -> list[np.ndarray]:
    """The NLL in nats of the scored labels of each window: N arrays, float64 (scored,).

    `model` is what `target_nll` takes; `document(i)` gives the tokens of document i. Windows of one shape share a batch,
    of at most `tokens_per_batch` tokens unless one window alone has more; none is padded, as a scheme may depend on the
    length. Raises PosextError for a window that scores more labels than it reads tokens, or that its document cannot hold.
    """
    for w in windows:
        if not 1 <= w.scored <= w.length:
            raise PosextError(
                f"a block of {w.scored} targets does not fit a context of {w.length} tokens"
            )
        if w.end < w.length:
            raise PosextError(
                f"a context of {w.length} tokens does not fit before token {w.end} of a document"
            )
    document = lru_cache(32)(document)
    nll: list[np.ndarray] = [np.empty(0)] * len(windows)
    shapes = [(w.length, w.scored) for w in windows]
    for (length, scored), same in groupby(
        sorted(range(len(windows)), key=shapes.__getitem__), shapes.__getitem__
    ):
        for batch in batches(list(same), max(1, tokens_per_batch // length)):
            tokens = [
                document(w.document)[w.end - length : w.end + 1]
                for w in (windows[i] for i in batch)
            ]
            tokens_BT = torch.from_numpy(np.stack(tokens)).to(device)
            nll_BK = (
                target_nll(model, tokens_BT[:, :-1], tokens_BT[:, -scored:]).double().cpu().numpy()
            )
            for index, row in zip(batch, nll_BK, strict=True):
                nll[index] = row
    return nll


def target_nll(model: Callable[..., object], tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
    """The NLL in nats of the labels of the last K positions: float32 (B, K).

    `model` maps tokens (B, T) to logits (B, T, V) or to an object with `.logits`; where its signature takes `last` or
    `logits_to_keep` it is asked for the last K positions only. A model with a method `target_nll(tokens_BT, labels_BK)`
    is asked for these values instead, so that it need never hold the logits of a long window (see `chunked_nll`).
    """
    own: Any = getattr(model, "target_nll", None)
    if own is not None:
        return own(tokens_BT, labels_BK)
    logits_BKV = last_logits(model, tokens_BT, labels_BK.shape[1])
    parts = zip(split(logits_BKV), split(labels_BK), strict=True)
    return torch.cat([nll_of(logits, labels) for logits, labels in parts], dim=1)


def last_logits(model: Callable[..., object], tokens_BT: Tensor, size: int) -> Tensor:
    """The logits (B, size, V) that a model, as `target_nll` takes it, gives at its last `size` positions."""
    output = model(tokens_BT, **last_positions(model, size))
    logits_BTV = output if isinstance(output, Tensor) else getattr(output, "logits")  # noqa: B009
    return logits_BTV[:, -size:]


def last_positions(model: Callable[..., object], size: int) -> dict[str, int]:
    """How this model is told to compute its head on the last `size` positions only, if it can be."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters
    return next(({name: size} for name in ("last", "logits_to_keep") if name in parameters), {})


def batches(items: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    return (items[start : start + count] for start in range(0, len(items), count))
