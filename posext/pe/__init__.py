"""Positional schemes by name: `build("yarn", head_dim=64, ...)` from the same yaml files that `+pe=yarn` reads.

Beside the scheme stand its axes, chosen apart from it: window, attention_scale, qk_gain and position_ids.
"""

import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra.utils import get_class
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from posext.config import MODIFIERS
from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.utils.errors import PosextError

PACKAGE = Path(__file__).resolve().parent.parent
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if (p / "pe").is_dir())
FOLDERS = [CONFIGS]  # where choices are looked up: the package's, then any given by --config-dir
OWN_MODULES: set[str] = (
    set()
)  # top-level modules outside posext whose schemes are allowed: see `allow`

__all__ = [
    "CONFIGS",
    "MODIFIERS",
    "PositionalEncoding",
    "Shape",
    "allow",
    "build",
    "from_config",
    "modifiers_of",
    "names",
    "settings_of",
]

Part = TypeVar("Part", PositionalEncoding, Modifier)


def names(group: str = "pe") -> list[str]:
    """Every scheme that can be chosen with +pe=NAME, or every choice of another group."""
    return sorted({path.stem for folder in FOLDERS for path in (folder / group).glob("*.yaml")})


def allow(modules: list[str], folders: list[Path]) -> None:
    """Accept schemes of these modules too, and their yaml files in these folders' `pe/`.

    A config can come from anywhere and names code to run, so only what was typed by whoever starts the command is accepted,
    never what a stored config says.
    """
    OWN_MODULES.update(modules)
    FOLDERS.extend(folder for folder in folders if folder not in FOLDERS)


def build(
    name: str, *, head_dim: int, n_heads: int, d_model: int, train_length: int, **overrides: Any
) -> PositionalEncoding:
    """The scheme `name` with the defaults of its yaml, for a network of this shape trained at `train_length` tokens.

    Overrides are settings of the scheme, or axes by name: `window="rerope"`, `attention_scale={"name": "logn"}`.
    Raises PosextError for an unknown name, an unknown setting or a value that its type does not admit.
    """
    axes = modifiers_of(overrides)
    settings = {key: value for key, value in overrides.items() if key not in axes}
    return from_config(
        {**settings_of("pe", name), **settings},
        Shape(head_dim, n_heads, d_model, train_length),
        axes,
    )


def settings_of(group: str, name: str) -> dict[str, Any]:
    """The yaml of a choice in a group, with its name. Raises PosextError where there is none."""
    if name not in names(group):
        what = "positional encoding" if group == "pe" else group
        raise PosextError(f"unknown {what} {name!r}; choose one of {', '.join(names(group))}")
    file = next(f for folder in FOLDERS if (f := folder / group / f"{name}.yaml").is_file())
    loaded = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
    return {"name": name, **loaded}


def modifiers_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The axes that a config chooses, each by name, as a mapping with a name, or as composed."""
    chosen = {}
    for group in MODIFIERS:
        choice = config.get(group)
        if isinstance(choice, str):
            choice = settings_of(group, choice)
        if choice is not None and not isinstance(choice, Mapping):
            raise PosextError(f"{group}={choice} is neither the name of a choice nor a mapping")
        if choice is not None:
            chosen[group] = (
                choice
                if "_target_" in choice
                else {**settings_of(group, str(choice.get("name"))), **choice}
            )
    return chosen


def from_config(
    config: Mapping[str, Any], shape: Shape, axes: Mapping[str, Mapping[str, Any]] | None = None
) -> PositionalEncoding:
    """The scheme that a composed `pe` section describes, with the axes that others describe."""
    scheme = instance(config, shape, PositionalEncoding)
    for group, settings in (axes or {}).items():
        scheme.attach(group, instance(settings, shape, Modifier))
    return scheme


def instance(config: Mapping[str, Any], shape: Shape, kind: type[Part]) -> Part:
    """What a section with a `_target_` describes: a class of this kind, inside posext or a module that was allowed.

    Raises PosextError for any other target, an unknown setting or a value that its type does not admit.
    """
    made = class_of(str(config.get("_target_")), kind)
    hints = typing.get_type_hints(made.__init__)
    admitted = [
        p for p in inspect.signature(made.__init__).parameters if p not in ("self", "shape")
    ]
    settings = {}
    for key, value in config.items():
        if key in ("_target_", "name"):
            continue
        if key not in admitted:
            raise PosextError(
                f"unknown setting {key!r} of {made.__name__}; it has {', '.join(admitted) or 'none'}"
            )
        try:
            settings[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            admits = (
                str(hints[key]).removeprefix("<class '").removesuffix("'>").replace("typing.", "")
            )
            raise PosextError(f"{key}={value!r} of {made.__name__} is not {admits}") from error
    return made(shape, **settings)


def class_of(target: str, kind: type[Part]) -> type[Part]:
    """The class that a `_target_` names. Raises PosextError unless it is of this kind, in posext or an allowed module."""
    if target.partition(".")[0] not in {"posext", *OWN_MODULES}:
        raise PosextError(
            f"_target_ {target!r} is refused: it lies outside posext; own_modules=[{target.partition('.')[0]}] allows it"
        )
    try:
        made = get_class(target)
    except (ImportError, ValueError) as error:
        raise PosextError(
            f"_target_ {target!r} cannot be found: {str(error).splitlines()[0]}"
        ) from error
    if not issubclass(made, kind):
        raise PosextError(f"_target_ {target!r} is refused: it is no {kind.__name__}")
    return made
