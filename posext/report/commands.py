"""The commands that make a run and its curves again, from what its folder says."""

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


def train(run: Run) -> str | None:
    """The training command of a run: its choices, and every setting in which it differs from what they compose.

    None where a choice is not among those known here, so that the config alone can tell.
    """
    config = run.config
    try:
        chosen, composed = closest(config)
    except PosextError:
        return None
    known, own = flat(composed), flat(asdict(config))
    settings = [
        f"{'' if key in known else '+'}{key}={value(now)}"
        for key, now in differing(known, own).items()
    ]
    if config.name != name_of(config, [*chosen, *settings]):
        settings.append(f"name={value(config.name)}")
    return joined("python -m posext.train", [*chosen, *settings])


def closest(config: TrainConfig) -> tuple[list[str], dict[str, Any]]:
    """Choices, as typed, and what they compose; of the groups whose choice a config does not name, the nearest."""
    axes = {group: settings["name"] for group, settings in config.modifiers().items()}
    nearest = {}
    for group in ("data", "length"):
        own = flat(asdict(getattr(config, group)))
        nearest[group] = min(
            pe.names(group), key=lambda name: len(differing(flat(section(group, name)), own))
        )
    sections: dict[str, Any] = {
        group: pe.settings_of(group, name)
        for group, name in {"pe": config.pe["name"], **axes}.items()
    }
    sections |= {"model": pe.settings_of("model", config.model.name)}
    sections |= {group: section(group, name) for group, name in nearest.items()}
    composed = (
        asdict(TrainConfig(pe=None))
        | sections
        | {"learning_rate": sections["model"]["learning_rate"]}
    )
    chosen = [f"+{group}={name}" for group, name in {"pe": config.pe["name"], **axes}.items()]
    defaults = {"model": "tiny", "data": "python", "length": "fixed"}
    named = {"model": config.model.name, **nearest}
    return chosen + [
        f"{group}={name}" for group, name in named.items() if name != defaults[group]
    ], composed


def section(group: str, name: str) -> dict[str, Any]:
    """A choice of data or length, with the defaults of what it leaves out."""
    given = {key: value for key, value in pe.settings_of(group, name).items() if key != "name"}
    field = next(f for f in TrainConfig.__dataclass_fields__.values() if f.name == group)
    default: Any = field.default_factory
    return asdict(default()) | given


def differing(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The settings that are not as before, but for the name, which is made from the others."""
    return {key: own for key, own in now.items() if key != "name" and before.get(key) != own}


def value(setting: Any) -> str:
    """A setting as hydra's command line reads it."""
    if isinstance(setting, dict):
        return "{" + ",".join(f"{key}:{value(inner)}" for key, inner in setting.items()) + "}"
    if isinstance(setting, list):
        return "[" + ",".join(map(value, setting)) + "]"
    if setting is None or isinstance(setting, bool):
        return {None: "null", True: "true", False: "false"}[setting]
    text = str(setting)
    plain = not isinstance(setting, str) or re.fullmatch(r"[\w./~+-]+", text)
    return text if plain else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def joined(command: str, settings: list[str]) -> str:
    return " ".join([command, *map(shlex.quote, settings)])


def evaluate(run: Run, rows: pd.DataFrame) -> list[str]:
    """The commands that measure a run's curves again: as trained, then each extension, with the settings in its name."""
    folder = f"run={run.config.results}/{run.name}"
    common = []
    lengths = sorted(int(n) for n in rows.loc[rows.protocol == HEADLINE, "context_length"].unique())
    if lengths and lengths != context_lengths(run):
        common.append(f"context_lengths={value(lengths)}")
    protocols = rows.protocol.drop_duplicates().tolist()
    if protocols != getattr(run.config, "protocols", [HEADLINE]):
        common.append(f"protocols={value(protocols)}")
    return [
        joined("python -m posext.evaluate", [folder, *typed, *common]) for typed in extensions(rows)
    ]


def extensions(rows: pd.DataFrame) -> Iterator[list[str]]:
    """What to type for each extension that was measured. A fixed factor beside a matched one is measured with it."""
    seen = list(dict.fromkeys(zip(rows.extend, rows.factor, strict=True)))
    for extend, factor in seen:
        own_fixed = ("", "auto") in seen and extend == rows.scheme.iloc[0].split("+")[0]
        if (
            extend == FLOOR
            or own_fixed
            or (factor not in ("", "auto") and (extend, "auto") in seen)
        ):
            continue
        typed = []
        for index, (name, settings) in enumerate(
            re.findall(r"([^()+]+)(?:\(([^()]*)\))?(?:\+|$)", extend)
        ):
            groups = ("pe", "window", "attention_scale")[index > 0 :]
            group = next((group for group in groups if name in pe.names(group)), "pe")
            prefix = "extend" if group == "pe" else group
            typed.append(f"+pe@extend={name}" if group == "pe" else f"+{group}={name}")
            typed += [f"{prefix}.{setting}" for setting in settings.split()]
            if group == "pe" and factor not in ("", "auto"):
                typed.append(f"extend.factor={float(factor):g}")
        yield typed


def config(run: Run) -> str:
    """A run's resolved config, as yaml."""
    return OmegaConf.to_yaml(asdict(run.config))
