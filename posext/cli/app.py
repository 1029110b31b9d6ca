"""From a command line to a typed config: hydra underneath, one clear message instead of a traceback on top."""

import argparse
import errno
import functools
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from posext.config import MODIFIERS
from posext.pe import CONFIGS, allow, names
from posext.utils import signals
from posext.utils.errors import PosextError, explain

GROUPS = "|".join(
    ("pe", *MODIFIERS)
)  # chosen with a plus, as they have no default; it may be left out
CHOOSE = "choose a positional encoding: +pe=NAME, one of"


def entry(config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Run `job` on the composed config. What the user can mend ends in one message and exit code 2; HYDRA_FULL_ERROR=1
    shows the traceback. In a sweep the other jobs go on first, and hydra adds which job it was.
    """
    say_once()
    plain = os.environ.get("HYDRA_FULL_ERROR", "0") == "0"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra passes errors on instead of printing them
    sys.argv[1:] = [
        re.sub(rf"^((?:{GROUPS})(?:@\w+)?=)", r"+\1", argument) for argument in sys.argv[1:]
    ]

    def alone_or_swept(composed: DictConfig) -> Any:
        try:
            with signals.raise_on_signal():
                return job(composed)
        except MENDABLE as error:
            if plain and HydraConfig.get().mode == RunMode.RUN:
                stop(error)
            raise

    try:
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(
            alone_or_swept
        )()
    except MENDABLE as error:
        if not plain:
            raise
        stop(error)
    except signals.Stop as stopped:
        print(f"posext: {stopped}", file=sys.stderr)
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if plain:
            del os.environ["HYDRA_FULL_ERROR"]


def script(main: Callable[[], None]) -> Callable[[], None]:
    """The same for a script's `main`: what the user can mend ends in one message and exit code 2."""

    @functools.wraps(main)
    def told() -> None:
        say_once()
        try:
            main()
        except MENDABLE as error:
            stop(error)

    return told


class Arguments(argparse.ArgumentParser):
    """A script's arguments; what is wrong with them is said in one message too."""

    def error(self, message: str) -> NoReturn:
        stop(PosextError(message))


class Terminal(logging.StreamHandler):
    """Writes to whatever standard error is now; sweeps and tests replace it."""

    stream = property(lambda self: sys.stderr, lambda self, value: None)  # type: ignore[assignment]


def say_once() -> None:
    """Show the package's warnings on the terminal, each text once, however often a scheme is built."""
    logger, said = logging.getLogger("posext"), set()
    if not logger.handlers:
        handler = Terminal()
        handler.setFormatter(logging.Formatter("posext: %(message)s"))
        handler.addFilter(
            lambda record: not (record.getMessage() in said or said.add(record.getMessage()))
        )
        logger.addHandler(handler)


MENDABLE = (HydraException, OmegaConfBaseException, PosextError, FloatingPointError, OSError)

MACHINE = (
    None,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
)  # of an OSError that no other command would mend


def stop(error: BaseException) -> NoReturn:
    print(f"posext: {explain(error)}", file=sys.stderr)
    machine = (
        isinstance(error, OSError)
        and not isinstance(error, HydraException)
        and error.errno in MACHINE
    )
    sys.exit(1 if machine or isinstance(error, FloatingPointError) else 2)


def typed(composed: DictConfig) -> Any:
    """The dataclass that a composed config fills, and with it the names of the chosen schemes.

    Raises PosextError where no scheme was chosen.
    """
    if OmegaConf.is_missing(composed, "pe"):
        raise PosextError(f"{CHOOSE} {', '.join(names())}")
    choices, sources = HydraConfig.get().runtime.choices, HydraConfig.get().runtime.config_sources
    if "run" not in composed and (choices.get("model") == "hf" or composed.model.path):
        raise PosextError(
            "a checkpoint is measured, not trained: posext.evaluate model=hf model.path=FOLDER_OR_ID"
        )
    allow(
        list(composed.own_modules),
        [Path(source.path) for source in sources if source.schema == "file"],
    )
    for key, group in (
        ("pe", "pe"),
        ("extend", "pe@extend"),
        *((axis, axis) for axis in MODIFIERS),
    ):
        if composed.get(key) is not None:
            if not OmegaConf.is_dict(composed[key]):
                raise PosextError(
                    f"{key}={composed[key]} is none of {', '.join(names(group.partition('@')[0]))}"
                )
            if choices.get(group) not in (
                valid := names(group.partition("@")[0])
            ):  # as ../GROUP/NAME is
                raise PosextError(
                    f"unknown {group}={choices.get(group)}; choose one of {', '.join(valid)}"
                )
            OmegaConf.update(composed, f"{key}.name", choices[group], force_add=True)
    return OmegaConf.to_object(composed)


def overrides() -> list[str]:
    """What was typed, without hydra's own."""
    return list(HydraConfig.get().overrides.task)


def given() -> dict[str, str]:
    """The dotted keys that were typed, and what was typed for them."""
    pairs = (override.lstrip("+~").partition("=") for override in overrides())
    return {key: value for key, _, value in pairs}
