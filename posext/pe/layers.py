"""Schemes by layer: a pattern that repeats down the network."""

import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from posext.pe import from_config, modifiers_of, settings_of
from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)


class Layers(PositionalEncoding):
    """One scheme for each layer, from a pattern: a list of `{pe: NAME, SETTING: .., window: .., repeat: N}`, repeated.

    An entry may choose window, attention_scale and qk_gain by name, or as a mapping of name and settings; what is chosen for
    the whole run goes to the layers that choose none. A pattern longer than the network is fitted to it, so that every
    entry has a layer, and a warning says which layer is what. Class T. Raises PosextError for an empty pattern, for more
    entries than layers, and for absolute schemes, which are added to embeddings and so cannot differ by layer.
    """

    def __init__(self, shape: Shape, *, layers: list[dict[str, Any]]):
        super().__init__(shape)
        self.kinds = nn.ModuleList()
        self.repeats: list[int] = []
        self.titles: list[str] = []
        for entry in layers:
            kind, repeat = entry_of(entry, shape)
            if kind.family == "absolute":
                raise PosextError(
                    f"{entry['pe']} is added to the embeddings and cannot stand for one layer of {layers}"
                )
            self.kinds.append(kind)
            self.repeats.append(repeat)
            self.titles.append(title_of(entry))
        if not self.repeats:
            raise PosextError(
                "pe.layers must name at least one layer, as in [{pe: rope, repeat: 3}, {pe: none}]"
            )
        kinds = self.schemes()
        families = [
            kind.family
            for kind, count in zip(kinds, self.repeats, strict=True)
            for _ in range(count)
        ]
        self.family = "/".join(families)
        self.relative = all(kind.relative for kind in kinds)
        self.length_dependent = any(kind.length_dependent for kind in kinds)
        self.max_length = min(
            (kind.max_length for kind in kinds if kind.max_length is not None), default=None
        )

    def schemes(self) -> list[PositionalEncoding]:
        return list(self.kinds)  # type: ignore[arg-type]

    def layers(self, count: int) -> list[PositionalEncoding]:
        repeats = self.fitted(count)
        pattern = [
            kind
            for kind, repeat in zip(self.schemes(), repeats, strict=True)
            for _ in range(repeat)
        ]
        return [pattern[layer % len(pattern)] for layer in range(count)]

    def fitted(self, count: int) -> list[int]:
        """The layers of each entry in a network of `count`: as asked for, or fewer of the most frequent entries.

        Raises PosextError where there are more entries than layers.
        """
        if len(self.repeats) > count:
            raise PosextError(
                f"pe.layers has {len(self.repeats)} entries, more than the {count} layers of the network"
            )
        repeats = list(self.repeats)
        while sum(repeats) > count:
            repeats[repeats.index(max(repeats))] -= 1
        if repeats != self.repeats:
            said = ", ".join(
                f"{repeat} x {title}" for title, repeat in zip(self.titles, repeats, strict=True)
            )
            log.warning(
                "a pattern of %d layers is fitted to %d: %s", sum(self.repeats), count, said
            )
        return repeats

    def stage(
        self, *, trained_length: int, progress: float = 1.0, draw: tuple[int, int] | None = None
    ) -> None:
        for part in (super(), *self.kinds):
            part.stage(trained_length=trained_length, progress=progress, draw=draw)  # type: ignore[operator]

    def attach(self, group: str, axis: Modifier) -> None:
        if group == "position_ids":
            super().attach(group, axis)
            return
        for kind in self.kinds:
            assert isinstance(kind, PositionalEncoding)
            if group not in kind.modifiers:
                kind.attach(group, axis)
                self.length_dependent = self.length_dependent or kind.length_dependent


def entry_of(entry: Mapping[str, Any], shape: Shape) -> tuple[PositionalEncoding, int]:
    """The scheme of one entry of the pattern, and for how many layers it stands."""
    if "pe" not in entry:
        raise PosextError(
            f"an entry of pe.layers names its scheme, as in {{pe: rope}}; got {dict(entry)}"
        )
    axes = modifiers_of(entry)
    rest = {key: value for key, value in entry.items() if key not in ("pe", "repeat", *axes)}
    repeat = entry.get("repeat", 1)
    if not isinstance(repeat, int) or repeat < 1:
        raise PosextError(f"repeat must be a whole number of at least 1, not {repeat}")
    return from_config({**settings_of("pe", entry["pe"]), **rest}, shape, axes), repeat


def title_of(entry: Mapping[str, Any]) -> str:
    """An entry in words, as in rope(base=10000.0)+window."""
    axes = modifiers_of(entry)
    settings = ", ".join(
        f"{key}={value}" for key, value in entry.items() if key not in ("pe", "repeat", *axes)
    )
    scheme = entry["pe"] + (f"({settings})" if settings else "")
    return "+".join([scheme, *(str(axis["name"]) for axis in axes.values())])
