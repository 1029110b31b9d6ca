"""The config.yaml of a run, parsed without resolving, importing or running anything in it."""

import json
from dataclasses import fields
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from posext.config import CORPORA, OPTIMIZERS
from posext.utils.errors import PosextError

# Keys without a default, which a stored config must have.
REQUIRED_KEYS = ("pe", "model", "data", "train_length")
# Sections of several types: the key that tells which, the types, and that of runs without the key.
TYPED_SECTIONS = (("data", "source", CORPORA, None), ("optimizer", "kind", OPTIMIZERS, "adamw"))

# Defaults at the time of runs that do not store them.
FORMER_DEFAULTS = {"evaluation": {"blocks": 4, "targets": None, "scored_share": 0.5}}


def stored_config(file: Path) -> DictConfig:
    """Parse the config.yaml of a run.

    Raises PosextError if it is not a mapping, lacks a required key, or has an interpolation. Runs
    store resolved configs, so an interpolation was added by hand; resolving it could read files
    and the environment.
    """
    try:
        stored = cast(DictConfig, OmegaConf.load(file))
    except (YAMLError, OmegaConfBaseException, ValueError, OSError) as error:
        raise PosextError(f"{file} is no config of a run: it cannot be read") from error
    is_mapping = isinstance(stored, DictConfig)
    lacking = [key for key in REQUIRED_KEYS if not is_mapping or key not in stored]
    if lacking:
        raise PosextError(f"{file} is no config of a run: it lacks {', '.join(lacking)}")
    if "${" in json.dumps(OmegaConf.to_container(stored, resolve=False), default=str):
        raise PosextError(
            f"{file} is refused: it holds an interpolation (${{..}}), which no run stores"
        )
    return stored


def with_types(stored: DictConfig) -> DictConfig:
    """Give the corpus and the optimizer of a stored config the types of their kinds.

    Runs made before each source had settings of its own store those of all: they are left out.
    Settings that a run made before them does not store have the defaults of then.
    """
    typed = cast(DictConfig, OmegaConf.merge(FORMER_DEFAULTS, stored))
    for section, key, choices, former in TYPED_SECTIONS:
        settings = stored.get(section)
        if not OmegaConf.is_dict(settings) or settings.get(key, former) not in choices:
            continue
        schema = OmegaConf.structured(choices[settings.get(key, former)])
        valid = {field.name for choice in choices.values() for field in fields(choice)}
        others = valid - set(schema)
        own = {name: value for name, value in settings.items() if name not in others}
        typed[section] = OmegaConf.merge(schema, own)
    return typed
