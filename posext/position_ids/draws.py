"""Random numbers that are a pure function of (seed, step)."""

import numpy as np

from posext.utils.rng import Stream, step_generator


def generator(draw: tuple[int, int]) -> np.random.Generator:
    """Return the generator of one step of training, from (seed, step)."""
    seed, step = draw
    return step_generator(seed, step, Stream.POSITION_IDS)
