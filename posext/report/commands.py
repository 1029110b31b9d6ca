"""The commands that make a run and its curves again, reconstructed from its folder."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from posext import pe
from posext.config import HEADLINE, TrainConfig
from posext.eval.bayes_floor import FLOOR
from posext.eval.curve import context_lengths
from posext.runs.run import Run, flat, name_of
from posext.utils.errors import PosextError

DEFAULT_CHOICES = {"model": "tiny", "data": "python", "length": "fixed"}
SCALING_FACTORS = ("", "auto")  # factors that need no setting
EXTENSION_PART = re.compile(r"([^()+]+)(?:\(([^()]*)\))?(?:\+|$)")  # name, then its settings


def train_command(run: Run) -> str | None:
    """The training command of a run: its choices, and every setting that differs from them.

    None if the run uses a choice that is unknown here; then only its config can tell.
    """
    config = run.config
    try:
        choices, composed = nearest_choices(config)
    except PosextError:
        return None
    composed_settings = flat(composed)
    settings = []
    for key, value in changed_settings(composed_settings, flat(asdict(config))).items():
        prefix = "" if key in composed_settings else "+"
        settings.append(f"{prefix}{key}={hydra_value(value)}")
    if config.name != name_of(config, [*choices, *settings]):
        settings.append(f"name={hydra_value(config.name)}")
    return shell_command("python -m posext.train", [*choices, *settings])


def nearest_choices(config: TrainConfig) -> tuple[list[str], dict[str, Any]]:
    """Find the choices of a config, and the config that they compose.

    A config does not name its choices of data and length: the nearest are taken, with the fewest
    settings to change.

    Returns:
        The choices as typed, without defaults, and the composed config.
    """
    chosen = {"pe": config.pe["name"]}
    chosen |= {group: settings["name"] for group, settings in config.modifiers().items()}
    nearest = {group: nearest_choice(config, group) for group in ("data", "length")}
    sections: dict[str, Any] = {
        group: pe.settings_of(group, name) for group, name in chosen.items()
    }
    sections["model"] = pe.settings_of("model", config.model.name)
    sections |= {group: choice_section(group, name) for group, name in nearest.items()}
    composed = asdict(TrainConfig(pe=None)) | sections
    composed["learning_rate"] = sections["model"]["learning_rate"]
    typed = [f"+{group}={name}" for group, name in chosen.items()]
    with_defaults = {"model": config.model.name, **nearest}
    typed += [
        f"{group}={name}" for group, name in with_defaults.items() if name != DEFAULT_CHOICES[group]
    ]
    return typed, composed


def nearest_choice(config: TrainConfig, group: str) -> str:
    """The choice of a group that differs least from a config's section."""
    own = flat(asdict(getattr(config, group)))

    def number_of_changes(name: str) -> int:
        return len(changed_settings(flat(choice_section(group, name)), own))

    return min(pe.names(group), key=number_of_changes)


def choice_section(group: str, name: str) -> dict[str, Any]:
    """The settings of a choice of data or length, defaults included."""
    settings = pe.settings_of(group, name)
    typed = {key: value for key, value in settings.items() if key != "name"}
    default: Any = TrainConfig.__dataclass_fields__[group].default_factory
    return asdict(default()) | typed


def changed_settings(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The settings of `after` that differ, without the name, which is made from the others."""
    return {
        key: value for key, value in after.items() if key != "name" and before.get(key) != value
    }


def hydra_value(setting: Any) -> str:
    """Write a setting as Hydra's command line reads it."""
    if isinstance(setting, dict):
        items = [f"{key}:{hydra_value(inner)}" for key, inner in setting.items()]
        return "{" + ",".join(items) + "}"
    if isinstance(setting, list):
        return "[" + ",".join(map(hydra_value, setting)) + "]"
    if setting is None:
        return "null"
    if isinstance(setting, bool):
        return "true" if setting else "false"
    text = str(setting)
    if not isinstance(setting, str) or re.fullmatch(r"[\w./~+-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def shell_command(command: str, settings: list[str]) -> str:
    return " ".join([command, *map(shlex.quote, settings)])


def evaluate_commands(run: Run, rows: pd.DataFrame) -> list[str]:
    """The commands that measure a run's curves again: as trained, then each extension."""
    folder = f"run={run.config.results}/{run.name}"
    common = []
    lengths = sorted(int(n) for n in rows.loc[rows.protocol == HEADLINE, "context_length"].unique())
    if lengths and lengths != context_lengths(run):
        common.append(f"context_lengths={hydra_value(lengths)}")
    protocols = rows.protocol.drop_duplicates().tolist()
    if protocols != getattr(run.config, "protocols", [HEADLINE]):
        common.append(f"protocols={hydra_value(protocols)}")
    return [
        shell_command("python -m posext.evaluate", [folder, *settings, *common])
        for settings in extension_settings(rows)
    ]


def extension_settings(rows: pd.DataFrame) -> Iterator[list[str]]:
    """The settings to type for each extension that was measured.

    A curve with a fixed factor beside a matched one needs no command: both are measured at once.
    """
    curves = list(dict.fromkeys(zip(rows.extend, rows.factor, strict=True)))
    own_scheme = rows.scheme.iloc[0].split("+")[0]
    for extend, factor in curves:
        own_fixed = ("", "auto") in curves and extend == own_scheme
        has_matched = factor not in SCALING_FACTORS and (extend, "auto") in curves
        if extend != FLOOR and not own_fixed and not has_matched:
            yield one_extension(extend, factor)


def one_extension(extend: str, factor: str) -> list[str]:
    """The settings for an extension, read from its name, such as `yarn(beta_fast=4)+logn`."""
    typed = []
    for index, (name, settings) in enumerate(EXTENSION_PART.findall(extend)):
        groups = ("pe", "window", "attention_scale")
        if index > 0:
            groups = groups[1:]
        group = next((group for group in groups if name in pe.names(group)), "pe")
        is_scheme = group == "pe"
        prefix = "extend" if is_scheme else group
        typed.append(f"+pe@extend={name}" if is_scheme else f"+{group}={name}")
        typed += [f"{prefix}.{setting}" for setting in settings.split()]
        if is_scheme and factor not in SCALING_FACTORS:
            typed.append(f"extend.factor={float(factor):g}")
    return typed


def config_yaml(run: Run) -> str:
    """A run's resolved config, as YAML."""
    return OmegaConf.to_yaml(asdict(run.config))
