"""Models on a device that holds no more than some tokens at once."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


def limited(model: Callable[..., Any], limit: int) -> tuple[Callable[..., Any], list[int]]:
    """Return a model that runs out of memory beyond a limit, and the tokens of its batches."""
    batches: list[int] = []

    @wraps(getattr(model, "forward", model))
    def call(tokens_BT: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        batches.append(tokens_BT.numel())
        if tokens_BT.numel() > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return model(tokens_BT, *arguments, **named)

    return call, batches
