"""User errors, and the one-sentence explanation printed for each."""

import difflib
import re
from typing import Any, cast

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

MISSING_PLUGIN = r"Could not (?:find|load) 'hydra/(launcher|sweeper)/(\w+)'"
OPTIONS = r"Available options in .+?:\s+(.+?)\s*(?:Config search path|\Z)"
MISSING_CHOICE = rf"Could not find '([\w@]+)/(.+?)'\s+{OPTIONS}"


class PosextError(ValueError):
    """A mistake that the user can fix: the text names the value and the valid ones.

    Any other error is a bug in posext.
    """


def explain(error: BaseException) -> str:
    """Return one or two sentences: what was wrong, and what is valid instead."""
    cause = root_error(error)
    text = str(error)
    if plugin := re.search(MISSING_PLUGIN, text):
        extras = "launchers and sweepers are extras: pip install 'posext[joblib,slurm,ray,optuna]'"
        return f"there is no {' '.join(plugin.groups())}; {extras}"
    if choice := re.search(MISSING_CHOICE, text, re.DOTALL):
        group, name, options = choice.groups()
        return f"unknown {group}={name}; choose one of {', '.join(options.split())}"
    if isinstance(cause, OmegaConfBaseException):
        if cause.key is not None and "not in" in str(cause):
            return unknown_key(cause)
        if cause.full_key:
            return f"{cause.full_key}: {str(cause).splitlines()[0]}"
    elif isinstance(error, HydraException) and cause is not error:
        text = f"{text}: {cause}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def root_error(error: BaseException) -> BaseException:
    """Follow `__cause__` to the first error, but no further than a PosextError."""
    while error.__cause__ is not None and not isinstance(error, PosextError):
        error = error.__cause__
    return error


def unknown_key(error: OmegaConfBaseException) -> str:
    """Return a sentence that names an unknown setting, the nearest valid one and all of them."""
    parent = cast(Any, error.parent_node)
    valid = [str(key) for key in parent] if OmegaConf.is_dict(parent) else []
    where = str(error.full_key).rpartition(".")[0]
    near = difflib.get_close_matches(str(error.key), valid, n=1)
    hint = f"; did you mean {near[0]}?" if near else ";"
    scope = f"in {where}" if where else "at the top level"
    return f"unknown setting {error.full_key}{hint} Valid {scope}: {', '.join(valid)}"
