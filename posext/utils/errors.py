"""Errors that the user can mend, and the one sentence that each becomes."""

import difflib
import re
from typing import Any, cast

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException


class PosextError(ValueError):
    """A mistake that the user can mend: its text names the value and the valid ones. Any other error is a bug of ours."""


def explain(error: BaseException) -> str:
    """One sentence or two: what was wrong, and what would be right."""
    cause = error
    while cause.__cause__ is not None and not isinstance(cause, PosextError):
        cause = cause.__cause__
    text = str(error)
    if plugin := re.search(r"Could not (?:find|load) 'hydra/(launcher|sweeper)/(\w+)'", text):
        extras = "launchers and sweepers are extras: pip install 'posext[joblib,slurm,ray,optuna]'"
        return f"there is no {' '.join(plugin.groups())}; {extras}"
    choice = re.search(
        r"Could not find '([\w@]+)/(.+?)'\s+Available options in .+?:\s+(.+)", text, re.DOTALL
    )
    if choice:
        group, name, options = choice.groups()
        return f"unknown {group}={name}; choose one of {', '.join(options.split())}"
    if (
        isinstance(cause, OmegaConfBaseException)
        and cause.key is not None
        and "not in" in str(cause)
    ):
        return unknown_key(cause)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {str(cause).splitlines()[0]}"
    if (
        isinstance(error, HydraException)
        and cause is not error
        and not isinstance(cause, OmegaConfBaseException)
    ):
        text = f"{text}: {cause}"
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def unknown_key(error: OmegaConfBaseException) -> str:
    parent = cast(Any, error.parent_node)
    valid = [str(key) for key in parent] if OmegaConf.is_dict(parent) else []
    where = str(error.full_key).rpartition(".")[0]
    near = difflib.get_close_matches(str(error.key), valid, n=1)
    hint = f"; did you mean {near[0]}?" if near else ";"
    return f"unknown setting {error.full_key}{hint} Valid {'in ' + where if where else 'at the top level'}: {', '.join(valid)}"
