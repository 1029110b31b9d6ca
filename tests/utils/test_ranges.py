"""Ranges of settings: which values pass, and the words for those that do not."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from posext.pe import build
from posext.utils.errors import PosextError
from posext.utils.ranges import (
    AtLeastOne,
    Auto,
    Count,
    Finite,
    OneOf,
    Positive,
    Share,
    check_ranges,
    checked,
    describe,
)

Mode = Annotated[str, OneOf(("cosine", "wsd"))]


@dataclass
class Inner:
    share: Share = 0.5


@dataclass
class Outer:
    steps: Count = 1
    limit: Count | None = None
    mode: Mode = "cosine"
    modes: list[Mode] = field(default_factory=list)
    free: str = ""
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Count, "a whole number of at least 1"),
        (Positive, "a number above 0"),
        (Share, "a number from 0 to 1"),
        (Finite, "a finite number"),
        (Annotated[float, Gt(0), Le(1)], "a number above 0 and at most 1"),
        (Annotated[float, Ge(0), Lt(1)], "a number of at least 0 and below 1"),
        (AtLeastOne | Auto, "a number of at least 1, or auto"),
        (Count | None, "a whole number of at least 1, or null"),
        (Literal["index", "rotations"], "one of index, rotations"),
        (Mode, "one of cosine, wsd"),
        (list[Mode], "a list, each one of cosine, wsd"),
        (bool, "true or false"),
    ],
)
def test_describe_says_type_and_range(hint, words):
    assert describe(hint) == words


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (0, Count),
        (1.5, Count),
        ("many", Count),
        (0.0, Positive),
        (math.inf, Positive),
        (math.nan, Positive),
        (1.0001, Share),
        (-math.inf, Finite),
        (0.5, AtLeastOne | Auto),
        ("never", AtLeastOne | Auto),
        ("linear", Mode),
        (["cosine", "linear"], list[Mode]),
    ],
)
def test_checked_refuses_and_names_key_and_value(value, hint):
    with pytest.raises(PosextError) as refusal:
        checked("window.size", value, hint)
    assert str(refusal.value) == f"window.size must be {describe(hint)}, not {value!r}"


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [(1, Count, 1), (2, Positive, 2.0), ("auto", AtLeastOne | Auto, "auto"), (1, Share, 1.0)],
)
def test_checked_returns_the_value_in_its_type(value, hint, expected):
    result = checked("key", value, hint)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (Outer(steps=0), "steps"),
        (Outer(limit=0), "limit"),
        (Outer(mode="linear"), "mode"),
        (Outer(modes=["linear"]), "modes"),
        (Outer(inner=Inner(2.0)), "inner.share"),
    ],
)
def test_check_ranges_names_the_dotted_key(settings, key):
    check_ranges(Outer())
    with pytest.raises(PosextError, match=rf"^{key} must be "):
        check_ranges(settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"factor": 0.5}, "factor must be a number of at least 1, or auto, not 0.5"),
        ({"window": {"name": "rerope", "w": 0}}, "window.w must be a whole number of at least 1"),
        ({"attention_scale": {"name": "logn", "in_range": 3}}, "attention_scale.in_range must be"),
    ],
)
def test_build_holds_settings_to_their_types(settings, says):
    with pytest.raises(PosextError, match=says):
        build("yarn", head_dim=8, n_heads=2, d_model=16, train_length=64, **settings)
