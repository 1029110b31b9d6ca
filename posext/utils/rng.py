"""Named random streams, one per purpose, so that draws for two purposes are independent.

Two kinds: numpy generators that are a pure function of (seed, step, stream), for all that
training draws at a step, and blocks in which torch's global generator is seeded for a purpose.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Streams of `step_generator`: the third word of a Philox counter.

    Drawing advances the counter from its first word on, so streams never meet.
    """

    BATCH = 0  # windows of a batch: posext.data.dataset
    POSITION_IDS = 2**32  # randomized positions: posext.position_ids.draws
    RECALL = 2**33  # pairs mixed into a batch: posext.data.recall.mixing
    EXAMPLES = 2**36  # examples that test a task: posext.data.algorithmic.corpus


def step_generator(seed: int, step: int, stream: Stream) -> np.random.Generator:
    """Return the generator of one training step: a pure function of its arguments."""
    counter = [0, 0, int(stream), step]
    return np.random.Generator(np.random.Philox(key=seed, counter=counter))


def stream_seed(seed: int, purpose: str) -> int:
    """Return the seed of a purpose's stream: 63 bits of a hash of the run's seed and purpose."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8]) >> 1


@contextmanager
def torch_stream(seed: int, purpose: str) -> Iterator[None]:
    """Seed torch's global generator with a purpose's stream inside the block, then restore it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, purpose))
        yield
