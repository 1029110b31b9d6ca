"""SIGTERM and SIGINT stop a run at a step from which the same command resumes it exactly."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Stop(KeyboardInterrupt):
    """Raised when a process is told to stop.

    The process exits with 128 + the signal's number, as shells report it: 143 or 130.
    """

    def __init__(self, number: int, where: str = ""):
        super().__init__(number, where)
        self.code = 128 + number
        self.name = signal.Signals(number).name
        self.where = where

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        return f"stopped by {self.name}{place}; the same command continues it"


@contextmanager
def install_handler(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Install `handler` for SIGTERM and SIGINT inside the block.

    Does nothing outside the main thread, where Python forbids signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def raise_on_signal() -> Iterator[None]:
    """Raise Stop wherever a signal arrives inside the block."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stop(number)

    with install_handler(stop):
        yield


@contextmanager
def defer_signals() -> Iterator[Callable[[], int]]:
    """Store the first signal inside the block; raise Stop at the second.

    Yields a function that returns the stored signal's number, or 0 if none has arrived.
    """
    arrived: list[int] = []

    def store(number: int, frame: FrameType | None) -> None:
        if arrived:
            raise Stop(number)
        arrived.append(number)

    with install_handler(store):
        yield lambda: arrived[0] if arrived else 0
