"""Running of what is missing: sweeps of `posext train -m` and `posext evaluate -m`."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from posext.study.plan import given, split
from posext.study.progress import Progress
from posext.study.spec import Study
from posext.utils import signals
from posext.utils.errors import PosextError

Command = list[str]  # what is typed after python


def commands(study: Study, steps: Sequence[Progress], launcher: Sequence[str]) -> list[Command]:
    """The commands that do what is missing.

    A sweep that trains is typed whole, as it passes over what is done. One that measures names the
    runs that lack something. Under every launcher its jobs at one time are on different runs.

    Args:
        study: The study.
        steps: What is missing.
        launcher: Hydra's overrides that choose and set its launcher.
    """
    typed = []
    folders = [f"--config-dir={folder}" for folder in study.config_dirs]
    for progress in steps:
        if not progress.missing:
            continue
        entry = progress.step.entry
        head = ["-m", f"posext.{entry}", *folders, "-m"]
        if entry == "train":
            typed.append([*head, *progress.step.arguments, *launcher])
            continue
        for arguments, runs in sweeps(progress):
            batch = f"hydra.sweeper.max_batch_size={len(runs)}"
            typed.append([*head, *arguments, f"run={','.join(runs)}", batch, *launcher])
    return typed


def sweeps(progress: Progress) -> list[tuple[list[str], list[str]]]:
    """The sweeps of a step that measures, as their overrides and the runs of each.

    It is one sweep if each of its measurements lacks on the same runs, else one for each.
    """
    measured = progress.step.arguments[:-1]
    lacking: dict[tuple[str, ...], list[str]] = {
        tuple(each): [] for each in (split(measured) if measured else [[]])
    }
    for job in progress.missing:
        lacking[tuple(job.arguments[:-1])].append(given(job.arguments)["run"])
    sets = {tuple(runs) for runs in lacking.values()}
    if len(sets) == 1:
        return [(measured, list(sets.pop()))]
    return [(list(each), runs) for each, runs in lacking.items() if runs]


def run(typed: Sequence[Command], execute: Callable[[Command], int] | None = None) -> None:
    """Run commands one after the other; those after one that fails are run too.

    Args:
        typed: What is typed after python.
        execute: Runs a command and returns its exit code; by default in a process of its own.

    Raises:
        PosextError: Commands failed.
    """
    execute = execute or execute_process
    failed = []
    for number, command in enumerate(typed, start=1):
        print(f"[{number}/{len(typed)}] python {shlex.join(command)}", flush=True)
        if execute(command) != 0:
            failed.append(command)
    if failed:
        raise PosextError(
            f"{len(failed)} of {len(typed)} commands failed, "
            f"the first of them python {shlex.join(failed[0])}; "
            "the same study typed again does what is missing"
        )


def execute_process(command: Command) -> int:
    """Run a command in a process of its own, with a thread for each run unless told otherwise.

    Raises Stop on a signal, once the process has stopped too: a terminal's Ctrl-C reaches both.
    """
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    process = subprocess.Popen([sys.executable, *command], env=environment)
    try:
        with signals.raise_on_signal():
            return process.wait()
    except signals.Stop as stopped:
        if stopped.code == 128 + signal.SIGTERM:
            process.terminate()
        process.wait()
        raise
