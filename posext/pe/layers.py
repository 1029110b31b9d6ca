"""Schemes by layer: a pattern that repeats down the network."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from posext.pe import axes_of, from_config, settings_of
from posext.pe.base import Axis, PositionalEncoding, Shape


class Layers(PositionalEncoding):
    """One scheme for each layer, from a pattern: a list of `{pe: NAME, SETTING: .., window: .., repeat: N}`, repeated.

    An entry may choose window, attention_scale and qk_gain by name, or as a mapping of name and settings; what is chosen for
    the whole run goes to the layers that choose none. Class T. Raises ValueError for an empty pattern, and for absolute
    schemes, which are added to embeddings and so cannot differ by layer.
    """

    def __init__(self, shape: Shape, *, layers: list[dict[str, Any]]):
        super().__init__(shape)
        self.kinds, self.pattern = nn.ModuleList(), []
        for entry in layers:
            kind, repeat = entry_of(entry, shape)
            if kind.family == "absolute":
                raise ValueError(f"{entry['pe']} is added to the embeddings and cannot stand for one layer of {layers}")
            self.pattern += [len(self.kinds)] * repeat
            self.kinds.append(kind)
        if not self.pattern:
            raise ValueError("pe.layers must name at least one layer, as in [{pe: rope, repeat: 3}, {pe: none}]")
        kinds: list[PositionalEncoding] = list(self.kinds)  # type: ignore[arg-type]
        self.family = "/".join(kinds[kind].family for kind in self.pattern)  # type: ignore[misc]
        self.relative = all(kind.relative for kind in kinds)  # type: ignore[misc]
        self.length_dependent = any(kind.length_dependent for kind in kinds)
        self.max_length = min((kind.max_length for kind in kinds if kind.max_length is not None), default=None)

    def layers(self, count: int) -> list[PositionalEncoding]:
        kinds: list[PositionalEncoding] = list(self.kinds)  # type: ignore[arg-type]
        return [kinds[self.pattern[layer % len(self.pattern)]] for layer in range(count)]

    def stage(self, *, trained_length: int, progress: float = 1.0, draw: tuple[int, int] | None = None) -> None:
        for part in (super(), *self.kinds):
            part.stage(trained_length=trained_length, progress=progress, draw=draw)  # type: ignore[operator]

    def attach(self, group: str, axis: Axis) -> None:
        if group == "position_ids":
            super().attach(group, axis)
            return
        for kind in self.kinds:
            assert isinstance(kind, PositionalEncoding)
            if group not in kind.axes:
                kind.attach(group, axis)
                self.length_dependent = self.length_dependent or kind.length_dependent


def entry_of(entry: Mapping[str, Any], shape: Shape) -> tuple[PositionalEncoding, int]:
    """The scheme of one entry of the pattern, and for how many layers it stands."""
    if "pe" not in entry:
        raise ValueError(f"an entry of pe.layers names its scheme, as in {{pe: rope}}; got {dict(entry)}")
    axes = axes_of(entry)
    rest = {key: value for key, value in entry.items() if key not in ("pe", "repeat", *axes)}
    repeat = entry.get("repeat", 1)
    if not isinstance(repeat, int) or repeat < 1:
        raise ValueError(f"repeat must be a whole number of at least 1, not {repeat}")
    return from_config({**settings_of("pe", entry["pe"]), **rest}, shape, axes), repeat
