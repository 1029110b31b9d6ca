"""Negative log-likelihood (NLL) of the target tokens of windows, under any causal model.

Pure functions: no files are read or written. A window reads `length` tokens, up to the one before
its last label, and scores its last `scored` labels.

Shape suffixes: B windows in a batch, T tokens, K targets, V vocabulary, C model width, N windows.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from posext.eval.batch_budget import BatchBudget
from posext.eval.perturbation import Perturbation, perturb
from posext.model.loss import nll_of, split
from posext.utils.errors import PosextError

CACHED_DOCUMENTS = 32  # documents whose tokens are kept in memory


class TargetWindow(NamedTuple):
    """A slice of a document and the targets scored in it.

    The model reads document[end - length : end] and scores the last `scored` labels, up to and
    including index `end`. `weight` multiplies each label in the mean. With a `perturbation`, the
    tokens far before the targets are changed.
    """

    document: int
    end: int
    length: int
    scored: int
    weight: float = 1.0
    perturbation: Perturbation | None = None

    @property
    def labels(self) -> slice:
        """Indices of the scored labels in the document."""
        return slice(self.end - self.scored + 1, self.end + 1)


def score_windows(
    model: Callable[..., object],
    document: Callable[[int], np.ndarray],
    windows: Sequence[TargetWindow],
    tokens_per_batch: int | BatchBudget,
    device: torch.device | str = "cpu",
) -> list[np.ndarray]:
    """Score the labels of windows.

    Windows of one shape share a batch. No window is padded, because a scheme may depend on the
    length.

    Args:
        model: A causal model, as `target_nll` takes it.
        document: Function from the index of a document to its tokens, int64 (n,).
        windows: N windows.
        tokens_per_batch: Upper limit of the tokens of a batch, which is halved where memory runs
            out; a longer window is a batch alone.
        device: Device of the model.

    Returns:
        The NLL in nats of the scored labels of each window: N arrays, float64 (scored,).

    Raises:
        PosextError: A window scores more labels than it reads tokens, starts before its document,
            or does not fit memory.
    """
    for window in windows:
        check_window(window)
    budget = tokens_per_batch
    if not isinstance(budget, BatchBudget):
        budget = BatchBudget(budget, device)
    document = lru_cache(CACHED_DOCUMENTS)(document)
    nll: list[np.ndarray] = [np.empty(0)] * len(windows)
    shapes = [(window.length, window.scored) for window in windows]
    by_shape = sorted(range(len(windows)), key=shapes.__getitem__)
    for (length, scored), indices in groupby(by_shape, shapes.__getitem__):

        def score(batch: Sequence[int], scored: int = scored) -> np.ndarray:
            tokens = [read(windows[index], document) for index in batch]
            tokens_BT = torch.from_numpy(np.stack(tokens)).to(device)
            nll_BK = target_nll(model, tokens_BT[:, :-1], tokens_BT[:, -scored:])
            return nll_BK.double().cpu().numpy()

        for batch, nll_rows in budget.map(score, list(indices), length):
            for index, nll_K in zip(batch, nll_rows, strict=True):
                nll[index] = nll_K
    return nll


def read(window: TargetWindow, document: Callable[[int], np.ndarray]) -> np.ndarray:
    """Read the tokens of a window and its last label, int64 (length + 1,), as perturbed."""
    tokens_T = document(window.document)[window.end - window.length : window.end + 1]
    if window.perturbation is None:
        return tokens_T
    return perturb(tokens_T, window.scored, window.perturbation, document)


def check_window(window: TargetWindow) -> None:
    """Raise PosextError for more labels than tokens, and for a start before the document."""
    if not 1 <= window.scored <= window.length:
        raise PosextError(
            f"a block of {window.scored} targets does not fit a context of {window.length} tokens"
        )
    if window.end < window.length:
        raise PosextError(
            f"a context of {window.length} tokens does not fit before token {window.end} of a "
            "document"
        )


def target_nll(model: Callable[..., object], tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
    """Compute the NLL of the labels of the last K positions.

    Args:
        model: A function from tokens (B, T) to logits (B, T, V), or to an object with `.logits`.
            If its signature has `last` or `logits_to_keep`, only the last K positions are
            requested. If it has a method `target_nll(tokens_BT, labels_BK)`, that method computes
            the result, so that the logits of a long window are never held (see `chunked_nll`).
        tokens_BT: Tokens read, int64.
        labels_BK: Targets of the last K positions, int64.

    Returns:
        NLL in nats, float32 (B, K).
    """
    own_target_nll: Any = getattr(model, "target_nll", None)
    if own_target_nll is not None:
        return own_target_nll(tokens_BT, labels_BK)
    logits_BKV = last_logits(model, tokens_BT, labels_BK.shape[1])
    chunks = zip(split(logits_BKV), split(labels_BK), strict=True)
    return torch.cat([nll_of(logits, labels) for logits, labels in chunks], dim=1)


def last_logits(model: Callable[..., object], tokens_BT: Tensor, size: int) -> Tensor:
    """Logits (B, size, V) at the last `size` positions; `model` is as in `target_nll`."""
    output = model(tokens_BT, **last_positions(model, size))
    logits_BTV = output if isinstance(output, Tensor) else getattr(output, "logits")  # noqa: B009
    return logits_BTV[:, -size:]


def last_positions(model: Callable[..., object], size: int) -> dict[str, int]:
    """Keyword argument that limits the model's head to the last `size` positions; empty if none."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters
    for name in ("last", "logits_to_keep"):
        if name in parameters:
            return {name: size}
    return {}
