"""Timings that may be compared on a noisy machine: every case once a round, the ratio taken within the round."""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

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


def apart(make: Callable[..., Callable[[], float]], *arguments: Any) -> Callable[[], float]:
    """A case in a process of its own, as it would run in use: the memory that one frees and another gets, and what is
    compiled and cached, do not mix. `make` makes the case there, with the first call; between calls it waits.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=serve, args=(there, make, *arguments), daemon=True).start()

    def seconds() -> float:
        here.send(None)
        return here.recv()

    return seconds


def serve(
    connection: Connection, make: Callable[..., Callable[[], float]], *arguments: Any
) -> None:
    with suppress(EOFError):  # nobody asks any more
        connection.recv()
        case = make(*arguments)
        while True:
            connection.send(case())
            connection.recv()
