"""Random numbers as a pure function of (seed, step)."""

import numpy as np

from posext.utils.rng import Stream, step_generator


def generator(rng_key: tuple[int, int]) -> np.random.Generator:
    """Return the generator of one step of training, given (seed, step)."""
    seed, step = rng_key
    return step_generator(seed, step, Stream.POSITION_IDS)
