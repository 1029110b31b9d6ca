"""Random numbers as a pure function of (seed, step)."""

import numpy as np

# Part of the counter that separates these numbers from those of the batches.
STREAM = 2**32


def generator(rng_key: tuple[int, int]) -> np.random.Generator:
    """Return the generator of one training step, given (seed, step)."""
    seed, step = rng_key
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, STREAM, step]))
