"""Timings that can be compared on a noisy machine.

Every case runs once a round, and ratios are taken within a round.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pandas as pd


def interleaved(cases: dict[str, Callable[[], float]], repeats: int) -> pd.DataFrame:
    """Time cases in turns.

    Args:
        cases: functions that do their work and return the seconds it took.
        repeats: the number of rounds, without a first one that warms up. Each round begins with
            another case.

    Returns:
        Seconds by round (rows) and case (columns).
    """
    rounds = []
    for index in range(repeats + 1):
        order = list(cases)[index % len(cases) :] + list(cases)[: index % len(cases)]
        rounds.append({name: cases[name]() for name in order})
    return pd.DataFrame(rounds[1:], columns=list(cases))


def speedup(seconds: pd.DataFrame, of: str, over: str) -> np.ndarray:
    """The speed of `of` in multiples of the speed of `over`, in each round."""
    return (seconds[over] / seconds[of]).to_numpy()


def apart(make: Callable[..., Callable[[], float]], *arguments: Any) -> Callable[[], float]:
    """Run a case in a process of its own, as in real use.

    Memory, compiled code and caches of several cases then do not mix. `make` makes the case in that
    process at the first call; between calls the process waits.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=serve, args=(there, make, *arguments), daemon=True).start()

    def seconds() -> float:
        here.send(None)
        return here.recv()

    return seconds


def once(send: Callable[..., None], *arguments: Any) -> Any:
    """Run `send(connection, *arguments)` in a process of its own, and return what it sends."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=send, args=(there, *arguments))
    process.start()
    received = here.recv()
    process.join()
    return received


def serve(
    connection: Connection, make: Callable[..., Callable[[], float]], *arguments: Any
) -> None:
    """Make a case and run it at every message, until the other end of the pipe closes."""
    with suppress(EOFError):
        connection.recv()
        case = make(*arguments)
        while True:
            connection.send(case())
            connection.recv()
