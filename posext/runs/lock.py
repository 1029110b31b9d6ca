"""One process at a time works on the folder of a run, and what made it fail is left there."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from posext.runs.run import Run
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError, explain

LOCK_TIMEOUT = 1.0  # seconds; whoever only looks whether the lock is free lets go of it at once


@contextmanager
def run_lock(run: Run, main: bool = True) -> Iterator[None]:
    """Hold `run.lock`, as the main one of the run's processes. Raises PosextError where another start of the run has it.

    The system lets go of the lock of a process that is gone, whatever ended it.
    """
    if not main:
        yield
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.folder / "run.lock", timeout=LOCK_TIMEOUT)
    try:
        lock.acquire()
    except Timeout:
        raise PosextError(
            f"another process is at work on {run.folder}: wait for it, or choose another name="
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def record_failure(run: Run, main: bool = True) -> Iterator[None]:
    """Leave what was raised inside in `error.txt`, one line, for the table of states; it goes at the next start."""
    note = run.folder / "error.txt"
    if main:
        note.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        if main:
            write_text(note, f"{explain(error) or type(error).__name__}\n")
        raise
