"""Random numbers that are a pure function of (seed, step)."""

import numpy as np

STREAM = 2**32  # apart from the numbers that batches are drawn with


def generator(draw: tuple[int, int]) -> np.random.Generator:
    """The generator of one step of training."""
    seed, step = draw
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, STREAM, step]))
