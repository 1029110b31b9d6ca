"""The valid ranges of settings, as types, and the sentence for a value outside of one.

A setting is annotated with its range, as in `base: Annotated[float, Gt(1), Lt(inf)]`. `checked`
holds a value to it; `describe` puts it in words, for errors and for the settings reference.
"""

import dataclasses
import math
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from posext.utils.errors import PosextError


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The valid values of a text. A Literal would do, but Hydra's schemas do not know it."""

    values: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.literal_schema(list(self.values))


Auto = Literal["auto"]
Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
AtLeastTwo = Annotated[int, Ge(2)]
Share = Annotated[float, Ge(0), Le(1)]
PositiveShare = Annotated[float, Gt(0), Le(1)]
InsideUnit = Annotated[float, Gt(0), Lt(1)]
Decay = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
NonNegative = Annotated[float, Ge(0), Lt(math.inf)]
AtLeastOne = Annotated[float, Ge(1), Lt(math.inf)]
Finite = Annotated[float, Gt(-math.inf), Lt(math.inf)]
Base = Annotated[float, Gt(1), Lt(math.inf)]  # of rotary frequencies

NOUNS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def checked(key: str, value: Any, hint: Any) -> Any:
    """Return a value as its type says, such as 1 as 1.0.

    Args:
        key: The setting, for the error.
        value: The value.
        hint: Its type, with its range.

    Raises:
        PosextError: The value is of another type, or outside the range.
    """
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise PosextError(f"{key} must be {describe(hint)}, not {value!r}") from error


def check_ranges(settings: Any, prefix: str = "") -> None:
    """Check each field of a dataclass, and of those in it, against its range.

    Raises PosextError, naming the first field outside its range by its dotted key. Types are
    checked before, by OmegaConf.
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        if dataclasses.is_dataclass(value):
            check_ranges(value, f"{prefix}{name}.")
        elif has_range(hint):
            checked(prefix + name, value, hint)


def has_range(hint: Any) -> bool:
    """Return whether a type, or one of its parts, is annotated."""
    return get_origin(hint) is Annotated or any(map(has_range, get_args(hint)))


def describe(hint: Any) -> str:
    """Return a type and its range in words: a number above 0, or auto."""
    origin = get_origin(hint)
    if origin is Annotated:
        base, *bounds = get_args(hint)
        return describe_bounds(base, bounds)
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        words = list(map(describe, members))
        words += ["null"] * (len(members) < len(get_args(hint)))
        return ", or ".join(words)
    if origin is Literal:
        return one_of(get_args(hint))
    if origin is list:
        return f"a list, each {describe(get_args(hint)[0])}"
    return NOUNS.get(hint, str(hint).replace("typing.", ""))


def describe_bounds(base: Any, bounds: Sequence[Any]) -> str:
    """Return an annotated type in words."""
    choices = [bound for bound in bounds if isinstance(bound, OneOf)]
    if choices:
        return one_of(choices[0].values)
    lower = ""
    upper = ""
    for bound in bounds:
        if isinstance(bound, Ge):
            lower = f"of at least {bound.ge}"
        elif isinstance(bound, Gt) and bound.gt != -math.inf:
            lower = f"above {bound.gt}"
        elif isinstance(bound, Le):
            upper = f"at most {bound.le}"
        elif isinstance(bound, Lt) and bound.lt != math.inf:
            upper = f"below {bound.lt}"
        elif isinstance(bound, Len):
            upper = f"of {bound.min_length} to {bound.max_length} characters"
    if not lower and not upper:
        return "a finite number"
    if lower.startswith("of at least") and upper.startswith("at most"):
        lower, upper = lower.replace("of at least", "from"), upper.replace("at most", "to")
        return f"{describe(base)} {lower} {upper}"
    return f"{describe(base)} {' and '.join(filter(None, (lower, upper)))}"


def one_of(values: Sequence[str]) -> str:
    """Return the valid values in words: one of cosine, wsd."""
    listed = ", ".join(map(str, values))
    return listed if len(values) == 1 else f"one of {listed}"
