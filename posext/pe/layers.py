"""Schemes by layer: a pattern that repeats over the layers of the network."""

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Strict
from torch import nn

from posext.pe import from_config, modifiers_of, settings_of
from posext.pe.base import Modifier, PositionalEncoding, Shape
from posext.utils.errors import PosextError
from posext.utils.ranges import Count, checked

log = logging.getLogger(__name__)


class Layers(PositionalEncoding):
    """Gives each layer a scheme of its own, by a repeated pattern.

    A pattern longer than the network is shortened to its layers, with at least one layer per entry,
    and a warning names the result. A modifier chosen for the whole run applies to the layers
    without a modifier of its group. The papers of patterns stand in their yaml files.

    Args:
        shape: Dimensions of the network.
        layers: The pattern: `{pe: NAME, SETTING: .., window: .., repeat: N}` for each entry. Its
            modifiers are names, or mappings of name and settings.

    Raises:
        PosextError: The pattern is empty or has more entries than the network has layers, or an
            entry acts on embeddings and so on all layers.
    """

    stages = frozenset({"trained"})

    def __init__(self, shape: Shape, *, layers: list[dict[str, Any]]):
        super().__init__(shape)
        self.kinds = nn.ModuleList()
        self.repeats: list[int] = []
        self.titles: list[str] = []
        for entry in layers:
            kind, repeat = entry_of(entry, shape)
            if type(kind).embed is not PositionalEncoding.embed:
                raise PosextError(
                    f"{entry['pe']} is added to the embeddings and cannot stand for one layer of "
                    f"{layers}"
                )
            self.kinds.append(kind)
            self.repeats.append(repeat)
            self.titles.append(title_of(entry))
        if not self.repeats:
            raise PosextError(
                "pe.layers must name at least one layer, as in [{pe: rope, repeat: 3}, {pe: none}]"
            )
        kinds = self.schemes()
        self.family = "/".join(kind.family for kind in repeat_kinds(kinds, self.repeats))
        self.relative = all(kind.relative for kind in kinds)
        self.length_dependent = any(kind.length_dependent for kind in kinds)
        max_lengths = [kind.max_length for kind in kinds if kind.max_length is not None]
        self.max_length = min(max_lengths, default=None)

    def schemes(self) -> list[PositionalEncoding]:
        """Return the scheme of each entry of the pattern."""
        return list(self.kinds)  # type: ignore[arg-type]

    def layers(self, count: int) -> list[PositionalEncoding]:
        pattern = repeat_kinds(self.schemes(), self.fitted(count))
        return [pattern[layer % len(pattern)] for layer in range(count)]

    def fitted(self, count: int) -> list[int]:
        """Return the number of layers of each entry in a network of `count` layers.

        The most frequent entries lose layers until the pattern fits.

        Raises:
            PosextError: The pattern has more entries than the network has layers.
        """
        if len(self.repeats) > count:
            raise PosextError(
                f"pe.layers has {len(self.repeats)} entries, "
                f"more than the {count} layers of the network"
            )
        repeats = list(self.repeats)
        while sum(repeats) > count:
            repeats[repeats.index(max(repeats))] -= 1
        if repeats != self.repeats:
            fitted_pattern = ", ".join(
                f"{repeat} x {title}" for title, repeat in zip(self.titles, repeats, strict=True)
            )
            message = "a pattern of %d layers is fitted to %d: %s"
            log.warning(message, sum(self.repeats), count, fitted_pattern)
        return repeats

    def set_progress(
        self,
        *,
        trained_length: int,
        progress: float = 1.0,
        rng_key: tuple[int, int] | None = None,
        stage_window: int | None = None,
    ) -> None:
        for set_progress in (super().set_progress, *(kind.set_progress for kind in self.schemes())):
            set_progress(
                trained_length=trained_length,
                progress=progress,
                rng_key=rng_key,
                stage_window=stage_window,
            )

    def attach(self, group: str, modifier: Modifier) -> None:
        if group == "position_ids":
            super().attach(group, modifier)
            return
        for kind in self.schemes():
            if group not in kind.modifiers:
                kind.attach(group, modifier)
                self.length_dependent = self.length_dependent or kind.length_dependent
                self.relative = self.relative and kind.relative


def repeat_kinds(kinds: list[PositionalEncoding], repeats: list[int]) -> list[PositionalEncoding]:
    """Repeat each scheme by its number of layers."""
    pattern = []
    for kind, repeat in zip(kinds, repeats, strict=True):
        pattern += [kind] * repeat
    return pattern


def entry_of(entry: Mapping[str, Any], shape: Shape) -> tuple[PositionalEncoding, int]:
    """Build the scheme of one entry of the pattern, and return it with its number of layers."""
    if "pe" not in entry:
        raise PosextError(
            f"an entry of pe.layers names its scheme, as in {{pe: rope}}; got {dict(entry)}"
        )
    modifiers = modifiers_of(entry)
    not_settings = ("pe", "repeat", *modifiers)
    settings = {key: value for key, value in entry.items() if key not in not_settings}
    repeat = checked("repeat", entry.get("repeat", 1), Annotated[Count, Strict()])
    return from_config({**settings_of("pe", entry["pe"]), **settings}, shape, modifiers), repeat


def title_of(entry: Mapping[str, Any]) -> str:
    """Return the title of an entry, such as rope(base=10000.0)+window."""
    modifiers = modifiers_of(entry)
    not_settings = ("pe", "repeat", *modifiers)
    settings = [f"{key}={value}" for key, value in entry.items() if key not in not_settings]
    scheme = f"{entry['pe']}({', '.join(settings)})" if settings else entry["pe"]
    return "+".join([scheme, *(str(modifier["name"]) for modifier in modifiers.values())])
