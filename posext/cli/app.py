"""Command lines of posext: typed configs through Hydra, and one clear message for each mistake."""

import argparse
import errno
import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from posext.cli import measured_corpora
from posext.config import MODIFIERS
from posext.pe import CONFIGS, allow, choice_file, names
from posext.utils import signals
from posext.utils.errors import PosextError, explain
from posext.utils.trees import flat

# Config groups without a default, which Hydra wants with a plus: +pe=rope.
GROUPS_WITH_PLUS = "|".join(("pe", *MODIFIERS))
READY_SETS = ("experiment", "debug")  # groups whose choices set anything
CHOOSE_SCHEME = "choose a positional encoding: +pe=NAME, one of"
FULL_ERROR = "HYDRA_FULL_ERROR"
# Errors that end in one message; any other error shows its traceback.
REPORTED_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    PosextError,
    FloatingPointError,
    OSError,
)
# The errno of an OSError of the machine, which no other command would mend.
MACHINE_ERRORS = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def entry(config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Compose a config from the command line and run `job` on it.

    An error of REPORTED_ERRORS ends in one message on standard error, and in exit code 2, or 1 for
    an error that no other command would mend. With HYDRA_FULL_ERROR=1, and for any other error, the
    traceback is shown. In a sweep the other jobs run first, and Hydra names the job that failed.

    Args:
        config_name: the primary config, "train" or "evaluate".
        job: a function of the composed config.
    """
    log_warnings_once()
    sys.argv[1:] = in_full(sys.argv[1:])
    wants_traceback = os.environ.get(FULL_ERROR, "0") != "0"

    def run_job(composed: DictConfig) -> Any:
        try:
            with signals.raise_on_signal():
                return job(composed)
        except REPORTED_ERRORS as error:
            if HydraConfig.get().mode == RunMode.RUN and not wants_traceback:
                stop(error)
            raise

    hydra_main = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)
    with hydra_passes_errors_on():
        try:
            hydra_main(run_job)()
        except REPORTED_ERRORS as error:
            if wants_traceback:
                raise
            stop(error)
        except signals.Stop as stopped:
            print(f"posext: {stopped}", file=sys.stderr)
            sys.exit(stopped.code)
        except KeyboardInterrupt:
            sys.exit(130)


def in_full(arguments: list[str]) -> list[str]:
    """Write the short forms of overrides as Hydra wants them.

    A group without a default takes a plus: pe=rope becomes +pe=rope. init=FOLDER becomes
    init.path=FOLDER.
    """
    choice = re.compile(rf"^((?:{GROUPS_WITH_PLUS})(?:@\w+)?=)")
    return [re.sub("^init=", "init.path=", choice.sub(r"+\1", argument)) for argument in arguments]


@contextmanager
def hydra_passes_errors_on() -> Iterator[None]:
    """Make Hydra raise errors inside the block.

    Without HYDRA_FULL_ERROR, Hydra prints a shortened traceback and exits, so `entry` could not
    print its one message. The variable is removed afterwards unless the user set it.
    """
    set_by_user = os.environ.get(FULL_ERROR, "0") != "0"
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        if not set_by_user:
            del os.environ[FULL_ERROR]


def script(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a script's `main`: an error of REPORTED_ERRORS ends in one message, as in `entry`.

    Any other error, and every error with HYDRA_FULL_ERROR=1, shows its traceback.
    """

    @functools.wraps(main)
    def reporting_main() -> None:
        log_warnings_once()
        try:
            main()
        except REPORTED_ERRORS as error:
            if os.environ.get(FULL_ERROR, "0") != "0":
                raise
            stop(error)

    return reporting_main


class Arguments(argparse.ArgumentParser):
    """An argument parser whose errors are one message too."""

    def error(self, message: str) -> NoReturn:
        stop(PosextError(message))


def subcommand_parser(name: str, description: str, examples: str) -> Arguments:
    """The parser of a subcommand.

    Args:
        name: the subcommand, as in `posext NAME`.
        description: two sentences for the head of --help.
        examples: command lines for the end of --help.
    """
    indented = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    return Arguments(
        prog=f"posext {name}",
        description=description.strip(),
        epilog=f"examples:\n{indented}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


class Terminal(logging.Handler):
    """A log handler that writes to the current standard error; sweeps and tests replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class FirstTimeOnly(logging.Filter):
    """A filter that lets each message through once."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_new = message not in self.messages
        self.messages.add(message)
        return is_new


def log_warnings_once() -> None:
    """Show the package's warnings on the terminal, each once, however often a scheme is built."""
    logger = logging.getLogger("posext")
    if logger.handlers:
        return
    handler = Terminal()
    handler.setFormatter(logging.Formatter("posext: %(message)s"))
    handler.addFilter(FirstTimeOnly())
    logger.addHandler(handler)


def stop(error: BaseException) -> NoReturn:
    """Print one message and exit: with code 1 for an error of machine or arithmetic, else 2."""
    print(f"posext: {explain(error)}", file=sys.stderr)
    is_machine_error = (
        isinstance(error, OSError)
        and not isinstance(error, HydraException)
        and error.errno in MACHINE_ERRORS
    )
    sys.exit(1 if is_machine_error or isinstance(error, FloatingPointError) else 2)


def typed(composed: DictConfig) -> Any:
    """Turn a composed config into its dataclass, with the names of the chosen schemes.

    Raises PosextError if no scheme was chosen, or a choice does not exist.
    """
    if OmegaConf.is_missing(composed, "pe"):
        if "init" in composed and composed.init.path is not None:
            composed.pe = None  # the parent's
        else:
            raise PosextError(f"{CHOOSE_SCHEME} {', '.join(names())}")
    choices = HydraConfig.get().runtime.choices
    is_training = "run" not in composed
    if is_training and (choices.get("model") == "hf" or composed.model.path):
        raise PosextError(
            "a checkpoint is trained further with init=FOLDER_OR_ID, and measured with "
            "posext.evaluate model=hf model.path=FOLDER_OR_ID"
        )
    sources = HydraConfig.get().runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file"]
    allow(list(composed.own_modules), folders)
    name_choice(composed, "pe", "pe", choices.get("pe"))
    name_choice(composed, "extend", "pe@extend", choices.get("pe@extend"))
    for group in MODIFIERS:
        name_choice(composed, group, group, choices.get(group))
    composed.evaluation.data = measured_corpora.with_settings(composed.evaluation.data)
    return OmegaConf.to_object(composed)


def name_choice(composed: DictConfig, key: str, group: str, choice: str | None) -> None:
    """Write the name of a choice into the section that it filled; nothing for an empty section.

    Args:
        composed: the composed config, to be changed.
        key: the section.
        group: the config group as typed, such as pe@extend.
        choice: the name that was typed.

    Raises:
        PosextError: the section is a plain value, or the choice is outside the group (../OTHER/X).
    """
    section = composed.get(key)
    if section is None:
        return
    valid = names(group.partition("@")[0])
    if not OmegaConf.is_dict(section):
        raise PosextError(f"{key}={section} is none of {', '.join(valid)}")
    if choice not in valid:
        raise PosextError(f"unknown {group}={choice}; choose one of {', '.join(valid)}")
    OmegaConf.update(composed, f"{key}.name", choice, force_add=True)


def overrides() -> list[str]:
    """The overrides that the user typed, without Hydra's own."""
    return list(HydraConfig.get().overrides.task)


def arguments() -> list[str]:
    """All that the user typed after the entry point to make this job, own folders first."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [source.path for source in sources if source.provider == "command-line"]
    return [*(f"--config-dir={folder}" for folder in folders), *overrides()]


def given() -> dict[str, str]:
    """The dotted keys that the user typed, with their values."""
    pairs = (override.lstrip("+~").partition("=") for override in overrides())
    return {key: value for key, _, value in pairs}


def chosen() -> set[str]:
    """The groups and dotted keys that the user chose: typed, or in a typed ready set of choices."""
    choices = HydraConfig.get().runtime.choices
    ready = (keys_set_by(group, choices.get(group)) for group in READY_SETS)
    return set(given()).union(*ready)


def keys_set_by(group: str, name: str | None) -> set[str]:
    """The groups and dotted keys that an experiment, or another ready set, sets; none for None."""
    if name is None:
        return set()
    file = choice_file(group, name)
    settings = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
    groups = [next(iter(each)) for each in settings.pop("defaults", []) if isinstance(each, dict)]
    return {group.removeprefix("override ").strip("/ ") for group in groups} | set(flat(settings))
