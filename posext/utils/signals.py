"""SIGTERM and SIGINT end a run at a point from which it goes on exactly."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Stop(KeyboardInterrupt):
    """A process was told to stop. It exits with 128 + the signal's number, as shells report it: 143 or 130."""

    def __init__(self, number: int, where: str = ""):
        super().__init__(number, where)
        self.code, self.name, self.where = 128 + number, signal.Signals(number).name, where

    def __str__(self) -> str:
        return f"stopped by {self.name}{self.where and ' ' + self.where}; the same command continues it"


@contextmanager
def install_handler(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """The handler of both signals inside; where a thread that may not have one is at work, nothing changes."""
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
    """Inside, a signal raises Stop where it arrives."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stop(number)

    with install_handler(stop):
        yield


@contextmanager
def defer_signals() -> Iterator[Callable[[], int]]:
    """Inside, the first signal is only kept, and its number given when asked for, 0 without one; a second one raises Stop."""
    arrived: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        if arrived:
            raise Stop(number)
        arrived.append(number)

    with install_handler(keep):
        yield lambda: arrived[0] if arrived else 0
