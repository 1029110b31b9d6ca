"""Exclusive access to the folder of a run, and a record of the error that ended a run."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from posext.runs.run import Run
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError, explain

LOCK_TIMEOUT = 1.0  # seconds; posext status holds a lock only for the moment of its test


@contextmanager
def run_lock(run: Run, main: bool = True) -> Iterator[None]:
    """Hold `run.lock` inside the block on the main process; other processes pass through.

    The system releases the lock of a process that dies. Raises PosextError if another start of
    the run holds it.
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
    """Write an error raised inside the block to `error.txt`, as one line for posext status.

    The file of an earlier start is deleted first.
    """
    file = run.folder / "error.txt"
    if main:
        file.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        if main:
            write_text(file, f"{explain(error) or type(error).__name__}\n")
        raise
