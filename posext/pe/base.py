"""What a positional scheme is: the few places at which it may touch the network.

A scheme returns *tables* (a rotation, an additive bias), not code that runs inside a layer: they are made once per
forward pass in float64, and attention picks its path from their shape alone, so nothing outside this folder ever asks
which scheme it has.

Shape suffixes: B batch, T positions, C model width, K keys, L distances.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from posext.pe.tables import AttentionTables, DenseBias, DistanceBias, KeyBias, PairBias, Rotation
from posext.utils.errors import PosextError

__all__ = [
    "AttentionTables", "DenseBias", "DistanceBias", "KeyBias", "Modifier", "PairBias", "PositionIds",
    "PositionalEncoding", "Rotation", "Shape", "distances",
]  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What a scheme may know of the network it serves, and the length (tokens) at which training starts."""

    head_dim: int
    n_heads: int
    d_model: int
    original_length: int

    def __post_init__(self) -> None:
        """Raises PosextError for sizes below 1 and a length below 2, at which logarithms of it divide by zero."""
        for key in ("head_dim", "n_heads", "d_model"):
            if getattr(self, key) < 1:
                raise PosextError(f"{key} must be at least 1, not {getattr(self, key)}")
        if self.original_length < 2:
            raise PosextError(f"train_length must be at least 2, not {self.original_length}")


class PositionalEncoding(nn.Module):
    """The interface of a scheme. Every method's default does nothing, so as it stands this is a model without positions."""

    family: str = "none"  # an extension replaces a scheme of its own family
    relative: bool = (
        True  # logits depend on distances only: shifting every position changes nothing
    )
    inherited_settings: ClassVar[
        tuple[str, ...]
    ] = ()  # settings an extension inherits from the run unless told otherwise
    length_dependent = False  # logits at a position depend on the length of the whole context
    max_length: int | None = (
        None  # longest context (tokens) at which the scheme is defined; None: every length
    )
    embedding_std: float | None = (
        None  # at which token embeddings start, for a scheme that adds to them; None: the network's
    )

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.modifiers = (
            nn.ModuleDict()
        )  # what varies independently of the scheme: see configs/window and its like
        self.trained_length, self.progress, self.draw = (
            shape.original_length,
            1.0,
            cast("tuple[int, int] | None", None),
        )

    def stage(
        self, *, trained_length: int, progress: float = 1.0, draw: tuple[int, int] | None = None
    ) -> None:
        """Say where training stands, as the trainer does at every step; until then a scheme is as at its end.

        `trained_length`: the longest length reached, in tokens; `progress`: the share of the steps done; `draw`: (seed,
        step), from which a training-time policy draws.
        """
        self.trained_length, self.progress, self.draw = trained_length, progress, draw

    def layers(self, count: int) -> "list[PositionalEncoding]":
        """The scheme of each of `count` layers; those that share one share what it makes."""
        return [self] * count

    def positions(self, length: int, device: torch.device | None = None) -> Tensor:
        """The position of every token of a context of `length` tokens: int64 (T,), increasing."""
        if "position_ids" in self.modifiers:
            return (
                cast("PositionIds", self.modifiers["position_ids"])
                .positions(length, self.draw)
                .to(device)
            )
        return torch.arange(length, device=device)

    def reach(self, length: int) -> int:
        """The length (tokens) that contexts of `length` tokens make a scheme know: longer where their positions are spread."""
        if "position_ids" in self.modifiers:
            return cast("PositionIds", self.modifiers["position_ids"]).reach(length)
        return length

    def embed(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        """Token embeddings in, what the first layer sees out; the same shape."""
        return x_BTC

    def rotation(self, positions_T: Tensor, length: int) -> Rotation | None:
        """By how much queries and keys turn at every position, in a context of `length` tokens."""
        return None

    def bias(self, positions_K: Tensor) -> KeyBias | DistanceBias | PairBias | None:
        """What is added to the attention logits."""
        return None

    def logit_factor(self, length: int) -> float:
        """What the scheme itself multiplies the attention logits by, in a context of `length` tokens."""
        return 1.0

    def make_layer_module(self) -> nn.Module | None:
        """A new module for one layer, which maps what its attention reads (B, T, C) and its tables to its tables."""
        return None

    def make_layer_modules(self) -> list[nn.Module]:
        """New modules for one layer: the scheme's and its axes'."""
        made = [
            part.make_layer_module()
            for part in (self, *cast("list[Modifier]", self.modifiers.values()))
        ]
        return [module for module in made if module is not None]

    def tables(self, positions_T: Tensor) -> AttentionTables:
        """Everything attention needs for one forward pass over these positions."""
        made = AttentionTables(
            positions_T, self.rotation(positions_T, len(positions_T)), self.bias(positions_T)
        )
        for axis in cast("list[Modifier]", self.modifiers.values()):
            made = axis.apply(made, self)
        return made

    def attach(self, group: str, axis: "Modifier") -> None:
        """Add an axis, or replace that of the same group. Raises PosextError where the two do not go together."""
        axis.check(self)
        self.modifiers[group] = axis
        self.length_dependent = self.length_dependent or axis.length_dependent

    def describe(self) -> dict[str, Any]:
        """What is worth recording beside a run: figures that the config does not show."""
        return {}


class Modifier(nn.Module):
    """What varies independently of the scheme: it changes a scheme's tables. As it stands it changes nothing."""

    length_dependent = False  # logits at a position depend on the length of the whole context

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape

    def check(self, scheme: PositionalEncoding) -> None:
        """Raise PosextError where the axis means nothing on this scheme."""

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        """The tables of `scheme` in, those that attention uses out."""
        return tables

    def make_layer_module(self) -> nn.Module | None:
        """A new module for one layer, as a scheme's."""
        return None


class PositionIds(Modifier):
    """Which positions the tokens of a context have. As it stands, 0, 1, 2, .."""

    def positions(self, length: int, draw: tuple[int, int] | None) -> Tensor:
        """int64 (T,), increasing: drawn from (seed, step) in training, where `draw` is None those of evaluation."""
        return torch.arange(length)

    def reach(self, length: int) -> int:
        """The length (tokens) that training on contexts of `length` tokens makes a scheme know."""
        return length


def distances(positions_K: Tensor) -> Tensor:
    """Every distance that occurs between positions, 0 first: int64 (L,)."""
    return torch.arange(int(positions_K[-1] - positions_K[0]) + 1, device=positions_K.device)
