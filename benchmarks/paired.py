"""Timings that may be compared on a noisy machine: every case once a round, the ratio taken within the round."""

from collections.abc import Callable

import numpy as np
import pandas as pd


def interleaved(cases: dict[str, Callable[[], float]], repeats: int) -> pd.DataFrame:
    """Seconds by round (rows) and case (columns). A case does its work and gives the seconds it took; the first round, in
    which things warm up, is dropped, and each round begins with another case.
    """
    rounds = []
    for index in range(repeats + 1):
        order = list(cases)[index % len(cases) :] + list(cases)[: index % len(cases)]
        rounds.append({name: cases[name]() for name in order})
    return pd.DataFrame(rounds[1:])[list(cases)]


def speedup(seconds: pd.DataFrame, of: str, over: str) -> np.ndarray:
    """How many times as fast `of` was as `over`, in each round."""
    return (seconds[over] / seconds[of]).to_numpy()
