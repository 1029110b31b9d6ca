"""Registry of positional schemes: `build("yarn", head_dim=64, ...)` reads the yaml of `+pe=yarn`.

Modifiers are chosen beside the scheme: window, attention_scale, qk_gain and position_ids.
"""

import inspect
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra.utils import get_class
from omegaconf import OmegaConf

from posext.config import MODIFIERS
from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.utils.errors import PosextError
from posext.utils.ranges import checked

PACKAGE = Path(__file__).resolve().parent.parent
CONFIGS = next(p for p in (PACKAGE / "configs", PACKAGE.parent / "configs") if (p / "pe").is_dir())
# Folders of the choices: the package's own, then those of --config-dir.
FOLDERS = [CONFIGS]
# Top-level modules outside posext whose schemes are allowed; see `allow`.
OWN_MODULES: set[str] = set()

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

# What stored runs name, and its name now.
FORMER_CHOICES = {("window", "window"): "sliding"}
FORMER_TARGETS = {
    "posext.window.window.SlidingWindow": "posext.window.sliding.SlidingWindow",
    "posext.normalizer.Softpick": "posext.normalizer.softpick.Softpick",
    "posext.normalizer.Sigmoid": "posext.normalizer.sigmoid.Sigmoid",
    "posext.normalizer.Entmax": "posext.normalizer.entmax.Entmax",
}

Kind = TypeVar("Kind", PositionalEncoding, Modifier)


def names(group: str = "pe") -> list[str]:
    """Return the names of all schemes (`+pe=NAME`), or of all choices of another group."""
    return sorted({path.stem for folder in FOLDERS for path in (folder / group).glob("*.yaml")})


def allow(modules: list[str], folders: list[Path]) -> None:
    """Allow schemes outside of posext.

    A config from elsewhere may name any code to run. So only the user's command line may allow
    modules, never a stored config. They are also looked for in the current folder, where the
    command `posext` would not look.

    Args:
        modules: Top-level modules of the schemes.
        folders: Folders of their yaml files, in `pe/`.
    """
    OWN_MODULES.update(modules)
    if modules and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    FOLDERS.extend(folder for folder in folders if folder not in FOLDERS)


def build(
    name: str, *, head_dim: int, n_heads: int, d_model: int, train_length: int, **overrides: Any
) -> PositionalEncoding:
    """Build a scheme with the defaults of its yaml file.

    Args:
        name: Name of the scheme, one of `names()`.
        head_dim: Dimensions of one attention head.
        n_heads: Attention heads of a layer.
        d_model: Model width.
        train_length: Context length in tokens at which training starts.
        **overrides: Settings of the scheme, or modifiers by name or as a mapping:
            `window="rerope"`, `attention_scale={"name": "logn"}`.

    Returns:
        The scheme with its modifiers attached.

    Raises:
        PosextError: An unknown name or setting, or a value of the wrong type.
    """
    modifiers = modifiers_of(overrides)
    settings = {key: value for key, value in overrides.items() if key not in modifiers}
    shape = Shape(head_dim, n_heads, d_model, train_length)
    return from_config({**settings_of("pe", name), **settings}, shape, modifiers)


def settings_of(group: str, name: str) -> dict[str, Any]:
    """Return the yaml settings of a choice, with its name.

    Raises:
        PosextError: The group has no such choice.
    """
    name = FORMER_CHOICES.get((group, name), name)
    if name not in names(group):
        title = "positional encoding" if group == "pe" else group
        raise PosextError(f"unknown {title} {name!r}; choose one of {', '.join(names(group))}")
    settings = OmegaConf.to_container(OmegaConf.load(choice_file(group, name)))
    return {"name": name, **cast(dict[str, Any], settings)}


def choice_file(group: str, name: str) -> Path:
    """Return the yaml file of a choice that exists."""
    return next(f for folder in FOLDERS if (f := folder / group / f"{name}.yaml").is_file())


def modifiers_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of the modifiers in a config, by group.

    Args:
        config: Mapping of groups to a name, a mapping with a name, or a composed mapping.

    Raises:
        PosextError: An unknown name, or a value that is neither a name nor a mapping.
    """
    modifiers = {}
    for group in MODIFIERS:
        choice = config.get(group)
        if choice is None:
            continue
        if isinstance(choice, str):
            modifiers[group] = settings_of(group, choice)
        elif not isinstance(choice, Mapping):
            raise PosextError(f"{group}={choice} is neither the name of a choice nor a mapping")
        elif "_target_" in choice:
            modifiers[group] = choice
        else:
            modifiers[group] = {**settings_of(group, str(choice.get("name"))), **choice}
    return modifiers


def from_config(
    config: Mapping[str, Any],
    shape: Shape,
    modifiers: Mapping[str, Mapping[str, Any]] | None = None,
) -> PositionalEncoding:
    """Build the scheme of a composed `pe` section.

    Args:
        config: `_target_` and settings of the scheme.
        shape: Dimensions of the network.
        modifiers: `_target_` and settings of each modifier, by group.

    Returns:
        The scheme with its modifiers attached.

    Raises:
        PosextError: A refused `_target_`, an unknown setting or a value of the wrong type.
    """
    scheme = instance(config, shape, PositionalEncoding)
    for group, settings in (modifiers or {}).items():
        scheme.attach(group, instance(settings, shape, Modifier, prefix=f"{group}."))
    return scheme


def instance(config: Mapping[str, Any], shape: Shape, kind: type[Kind], prefix: str = "") -> Kind:
    """Build the object of a config section with a `_target_`.

    The settings of a class are the arguments of its constructor; their types give their ranges.

    Args:
        config: `_target_` and settings.
        shape: Dimensions of the network.
        kind: The base class of what the group may hold.
        prefix: What stands before a setting in an error, such as "window.".

    Raises:
        PosextError: A refused `_target_`, an unknown setting or a value outside its range.
    """
    cls = class_of(str(config.get("_target_")), kind)
    hints = typing.get_type_hints(cls.__init__, include_extras=True)
    parameters = inspect.signature(cls.__init__).parameters
    valid_keys = [key for key in parameters if key not in ("self", "shape")]
    settings = {}
    for typed_key, value in config.items():
        if typed_key in ("_target_", "name"):
            continue
        key = cls.former_settings.get(typed_key, typed_key)
        if key not in valid_keys:
            raise PosextError(
                f"unknown setting {key!r} of {cls.__name__}; "
                f"it has {', '.join(valid_keys) or 'none'}"
            )
        settings[key] = checked(f"{prefix}{key}", value, hints[key])
    return cls(shape, **settings)


def class_of(target: str, kind: type[Kind]) -> type[Kind]:
    """Return the class that a `_target_` names.

    Raises:
        PosextError: The class is not a subclass of `kind`, cannot be found, or lies outside of
            posext and the allowed modules.
    """
    module = target.partition(".")[0]
    if module not in {"posext", *OWN_MODULES}:
        raise PosextError(
            f"_target_ {target!r} is refused: it lies outside posext; "
            f"own_modules=[{module}] allows it"
        )
    try:
        cls = get_class(FORMER_TARGETS.get(target, target))
    except (ImportError, ValueError) as error:
        raise PosextError(
            f"_target_ {target!r} cannot be found: {str(error).splitlines()[0]}"
        ) from error
    if not issubclass(cls, kind):
        raise PosextError(f"_target_ {target!r} is refused: it is no {kind.__name__}")
    return cls
