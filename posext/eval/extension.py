"""A scheme that is put on the weights of a run in place of the one it was trained with."""

import dataclasses
from typing import Any, NamedTuple

from posext.config import EvaluateConfig, TrainConfig
from posext.eval.variants import OWN_WINDOW
from posext.runs.inheritance import with_settings_of_weights
from posext.runs.run import Run
from posext.utils.errors import PosextError


class Extension(NamedTuple):
    """A config whose scheme replaces the one that a run was trained with, and its display name."""

    config: TrainConfig
    name: str


def extended(run: Run, config: EvaluateConfig, given: dict[str, str]) -> Extension | None:
    """Replace the scheme and modifiers of a run's config by those of `config`.

    Settings that belong to the weights (a rotary base) are inherited unless typed. The name
    contains the typed settings, except the factor.

    Returns:
        The extension; None if `config` has neither a scheme nor modifiers.

    Raises:
        PosextError: The scheme is of another family than the run's, so it cannot use the weights.
    """
    chosen: dict[str, Any] = {
        group: getattr(config, group) for group in ("window", "attention_scale")
    }
    changes = {group: settings for group, settings in chosen.items() if settings is not None}
    trained = run.scheme()
    if config.extend is not None:
        own = {key.removeprefix("extend.") for key in given if key.startswith("extend.")}
        changes = {"pe": with_settings_of_weights(config.extend, run, own), **changes}
    if not changes:
        return None
    replaced = dataclasses.replace(run.config, **changes)
    family = run.scheme(replaced).family
    if family not in (trained.family, "none"):
        raise PosextError(
            f"{replaced.pe['name']} ({family}) cannot extend a run of "
            f"{run.config.pe['name']} ({trained.family}): "
            f"choose a scheme of the family {trained.family}, or none"
        )
    names = [display_name(group, changes[group]["name"], given) for group in changes]
    return Extension(replaced, "+".join(names))


def display_name(group: str, name: str, given: dict[str, str]) -> str:
    """Return a choice with the user's settings: yarn, or yarn(beta_fast=4)."""
    prefix = "extend." if group == "pe" else f"{group}."
    typed = [
        f"{key.removeprefix(prefix)}={value}"
        for key, value in given.items()
        if key.startswith(prefix) and key != f"{prefix}factor"
    ]
    return f"{name}({' '.join(typed)})" if typed else name


def extension_name(run: Run, config: TrainConfig, extension: Extension | None) -> str:
    """Return the name of a measured config in the column `extend`: empty as trained."""
    if extension:
        return extension.name
    if config.window != run.config.window:
        return OWN_WINDOW
    return "" if config == run.config else config.pe["name"]


def factor_text(factor: Any) -> str:
    """A scaling factor as in the column `factor`: a number, "auto", or "" for none."""
    return factor if isinstance(factor, str) else f"{factor:g}"
