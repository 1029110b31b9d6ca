"""How many tokens a batch of an evaluation may have: what memory allows, found as it goes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from posext.utils.errors import PosextError

CPU_TOKENS = 4096  # its caches are small
GPU_TOKENS = 65536  # more are no faster
# Free memory that a token asks for, before anything is known of a model: the activations of one
# layer of a model of 7B parameters in float32.
GPU_BYTES_PER_TOKEN = 2**18
Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class BatchBudget:
    """The most tokens of a batch; halved, and kept so, each time that memory runs out.

    Args:
        tokens: The tokens to start from; None: those of the device, fewer where little of its
            memory is free.
        device: The device of the model.
    """

    def __init__(self, tokens: int | None, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        on_cpu = self.device.type == "cpu"
        self.follows_memory = tokens is None and not on_cpu
        self.tokens = tokens or (CPU_TOKENS if on_cpu else GPU_TOKENS)

    def windows(self, length: int) -> int:
        """Return the windows of `length` tokens that a batch takes: 1 at least."""
        tokens = self.tokens
        if self.follows_memory:
            tokens = min(tokens, free_bytes(self.device) // GPU_BYTES_PER_TOKEN)
        return max(1, tokens // length)

    def map(
        self, score: Callable[[Sequence[Item]], Result], items: Sequence[Item], length: int
    ) -> Iterator[tuple[Sequence[Item], Result]]:
        """Score items in batches, a batch that does not fit in halves; yield each with its result.

        Args:
            score: Maps a batch to its result.
            items: Windows of `length` tokens.
            length: Tokens of a window.

        Raises:
            PosextError: A window alone does not fit.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.windows(length)]
            try:
                result = score(batch)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise PosextError(
                        f"a context of {length} tokens does not fit the memory of {self.device}: "
                        "give shorter context_lengths"
                    ) from error
                result = None
            if result is None:  # outside of `except`, which holds on to what did not fit
                self.tokens = len(batch) // 2 * length
                log.warning(
                    "%d contexts of %d tokens do not fit the memory of %s at once: "
                    "%d tokens in a batch from here on",
                    len(batch),
                    length,
                    self.device,
                    self.tokens,
                )
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            yield batch, result
            start += len(batch)


def free_bytes(device: torch.device) -> int:
    """Return the memory of a GPU that this process can still take."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
