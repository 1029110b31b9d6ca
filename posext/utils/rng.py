"""Named random streams: one for each purpose, so that nothing drawn for one repeats what was drawn for another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream_seed(seed: int, purpose: str) -> int:
    """The seed of a purpose's own stream: 63 bits of a hash of the run's seed and the purpose."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8]) >> 1


@contextmanager
def torch_stream(seed: int, purpose: str) -> Iterator[None]:
    """Draw from a purpose's stream within, wherever torch's global generator is used, and leave that as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, purpose))
        yield
