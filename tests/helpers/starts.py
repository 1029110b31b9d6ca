"""Starts of posext in processes of their own, which may be killed; they are forked from one that has imported everything."""

import ctypes
import importlib
import itertools
import multiprocessing
import os
import resource
import signal
import sys
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["posext.train", "posext.evaluate", "posext.report.page"])
SAID = "said.txt"


def start(
    *typed: str, entry: str = "train", said: str = SAID, before: tuple = ()
) -> multiprocessing.Process:
    """A process that runs an entry point here and says what it says into a file; `before` is a function and its arguments."""
    process = CONTEXT.Process(target=run, args=(entry, typed, said, before))
    process.start()
    return process


def ended(*typed: str, **how) -> tuple[int, str]:
    """The exit code of a start, and what it said; minus the number of the signal that killed it."""
    Path(how.get("said", SAID)).unlink(missing_ok=True)
    process = start(*typed, **how)
    process.join(120)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode, Path(how.get("said", SAID)).read_text()


def run(entry: str, typed: tuple[str, ...], said: str, before: tuple) -> None:
    import torch

    from posext import evaluate, train

    torch.set_num_threads(1)
    file = open(said, "a", buffering=1)  # noqa: SIM115
    for number in (1, 2):
        os.dup2(file.fileno(), number)
    sys.stdout = sys.stderr = file
    if before:
        before[0](*before[1:])
    sys.argv = [f"posext-{entry}", *typed]
    {"train": train.main, "evaluate": evaluate.main}[entry]()


def killed_at(function: str, call: int) -> None:
    """SIGKILL at a call of a function, named as in os:replace, before it does anything."""
    module, _, name = function.partition(":")
    owner, calls = importlib.import_module(module), itertools.count(1)
    original = getattr(owner, name)

    def counted(*arguments, **named):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, counted)


def with_files_up_to(size: int) -> None:
    """As on a full disk: no file grows beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def without_privileges() -> None:
    """Permissions hold for root too: drop CAP_DAC_OVERRIDE, bit 1, from the effective set."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0


def with_environment(**variables: str) -> None:
    os.environ.update(variables)
