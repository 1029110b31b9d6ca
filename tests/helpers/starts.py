"""Start posext in processes of their own, which a test may kill.

They are forked from a process that has imported everything.
"""

import ctypes
import itertools
import multiprocessing
import os
import resource
import signal
import sys
from fnmatch import fnmatch
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["posext.train", "posext.evaluate", "posext.report.page"])
OUTPUT = "output.txt"
# The argument of an audit event that holds the path: of a rename, the new one.
PATH_ARGUMENT = {"open": 0, "os.rename": 1, "shutil.rmtree": 0}


def start(
    *typed: str, entry: str = "train", output: str = OUTPUT, before: tuple = ()
) -> multiprocessing.Process:
    """Start an entry point in the working directory.

    Args:
        typed: The arguments of the command line.
        entry: train or evaluate.
        output: The file that stdout and stderr go to.
        before: A function to call first in the new process, and its arguments.
    """
    process = CONTEXT.Process(target=run, args=(entry, typed, output, before))
    process.start()
    return process


def run_to_end(*typed: str, output: str = OUTPUT, **options) -> tuple[int, str]:
    """Start an entry point; return its exit code, or minus the signal that killed it, and output.

    Takes the arguments of `start`.
    """
    Path(output).unlink(missing_ok=True)
    process = start(*typed, output=output, **options)
    process.join(120)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode, Path(output).read_text()


def run(entry: str, typed: tuple[str, ...], output: str, before: tuple) -> None:
    import torch

    from posext import evaluate, train

    torch.set_num_threads(1)
    file = open(output, "a", buffering=1)  # noqa: SIM115
    for descriptor in (1, 2):
        os.dup2(file.fileno(), descriptor)
    sys.stdout = sys.stderr = file
    if before:
        function, *arguments = before
        function(*arguments)
    sys.argv = [f"posext-{entry}", *typed]
    {"train": train.main, "evaluate": evaluate.main}[entry]()


def kill_at(event: str, name: str, occurrence: int) -> None:
    """Kill this process when it is about to open, rename or delete a file or folder.

    Args:
        event: An audit event of Python: open, os.rename or shutil.rmtree.
        name: A pattern for the name of the file; of a rename, the new name.
        occurrence: Which of the events on such a file, from 1 on.
    """
    occurrences = itertools.count(1)

    def hook(raised: str, arguments: tuple) -> None:
        if raised != event:
            return
        path = str(arguments[PATH_ARGUMENT[event]])
        if fnmatch(os.path.basename(path), name) and next(occurrences) == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def with_files_up_to(size: int) -> None:
    """Let no file grow beyond a number of bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def without_privileges() -> None:
    """Make permissions hold for root: drop CAP_DAC_OVERRIDE, bit 1, from the effective set."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0


def with_environment(variables: dict[str, str]) -> None:
    os.environ.update(variables)
