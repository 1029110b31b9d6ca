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
    """
    typed = stored.copy()
    if "scored_share" not in stored.get("evaluation", {}):
        typed["evaluation"] = former_evaluation(stored)
    if "gradient_checkpointing" in stored.get("init", {}):  # of checkpoints alone, then
        typed["activation_checkpointing"] = typed.init.pop("gradient_checkpointing")
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


def former_evaluation(stored: DictConfig) -> DictConfig:
    """Return the evaluation settings of a run made before `scored_share`, filled in.

    Blocks without a size had 64 targets, and at most half the shortest context.
    """
    lengths = stored.get("context_lengths") or [stored.train_length // 2]
    defaults = {"blocks": 4, "targets": min(64, lengths[0] // 2), "scored_share": 0.5}
    own = {key: value for key, value in stored.get("evaluation", {}).items() if value is not None}
    return cast(DictConfig, OmegaConf.merge(defaults, own))
