"""Positional schemes by name: `build("yarn", head_dim=64, ...)` from the same yaml files that `+pe=yarn` reads."""

import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.utils import get_class
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from posext.pe.base import PositionalEncoding, Shape

PACKAGE = Path(__file__).resolve().parent.parent
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if (p / "pe").is_dir())

__all__ = ["CONFIGS", "PositionalEncoding", "Shape", "build", "from_config", "names"]


def names() -> list[str]:
    """Every scheme that can be chosen with +pe=NAME."""
    return sorted(path.stem for path in (CONFIGS / "pe").glob("*.yaml"))


def build(
    name: str, *, head_dim: int, n_heads: int, d_model: int, train_length: int, **overrides: Any
) -> PositionalEncoding:
    """The scheme `name` with the defaults of its yaml, for a network of this shape trained at `train_length` tokens.

    Raises ValueError for an unknown name, an unknown setting or a value that its type does not admit.
    """
    if name not in names():
        raise ValueError(f"unknown positional encoding {name!r}; choose one of {', '.join(names())}")
    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(CONFIGS / "pe" / f"{name}.yaml")))
    return from_config({**config, **overrides}, Shape(head_dim, n_heads, d_model, train_length))


def from_config(config: Mapping[str, Any], shape: Shape) -> PositionalEncoding:
    """The scheme that a composed `pe` section describes; only classes inside `posext.pe` are accepted as its target."""
    target = str(config["_target_"])
    if not target.startswith("posext.pe."):
        raise ValueError(f"_target_ {target!r} is refused: a scheme is a class inside posext.pe")
    scheme = get_class(target)
    hints = typing.get_type_hints(scheme.__init__)
    admitted = [p for p in inspect.signature(scheme.__init__).parameters if p not in ("self", "shape")]
    settings = {}
    for key, value in config.items():
        if key in ("_target_", "name"):
            continue
        if key not in admitted:
            raise ValueError(f"unknown setting {key!r} of {scheme.__name__}; it has {', '.join(admitted) or 'none'}")
        try:
            settings[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            admits = str(hints[key]).removeprefix("<class '").removesuffix("'>").replace("typing.", "")
            raise ValueError(f"{key}={value!r} of {scheme.__name__} is not {admits}") from error
    return scheme(shape, **settings)
