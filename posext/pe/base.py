"""Interface of a positional scheme: the places at which it acts on the network.

A scheme returns *tables* (a rotation, an additive bias), not code that runs inside a layer. Tables
are computed once per forward pass in float64, and attention chooses its kernel from their types and
shapes alone, so no module outside this folder depends on the name of a scheme.

Shape suffixes: B batch, T positions, C model width, K keys, L distances.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from posext.pe.tables import (
    AttentionTables,
    DenseBias,
    DistanceBias,
    KeyBias,
    PairBias,
    Rotation,
    check_whole,
    distances,
    last_keys,
)
from posext.utils.ranges import AtLeastTwo, Count, checked

__all__ = [
    "STAGES",
    "AttentionTables",
    "DenseBias",
    "DistanceBias",
    "KeyBias",
    "Modifier",
    "PairBias",
    "PositionIds",
    "PositionalEncoding",
    "Rotation",
    "Shape",
    "check_whole",
    "distances",
    "last_keys",
]

# The values that `stages` may hold, each with its meaning.
STAGES = {
    "trained": "an architecture to train from scratch",
    "fine-tuned": "for RoPE's weights, to be fine-tuned",
    "zero-shot": "for RoPE's weights as they are",
    "inference": "at inference only",
}


@dataclass(frozen=True)
class Shape:
    """Dimensions of the network that a scheme serves.

    Args:
        head_dim: Dimensions of one attention head.
        n_heads: Attention heads of a layer.
        d_model: Model width.
        original_length: Context length in tokens at which training starts.

    Raises:
        PosextError: A dimension is below 1, or the length is below 2 (its logarithm is a divisor).
    """

    head_dim: int
    n_heads: int
    d_model: int
    original_length: int

    def __post_init__(self) -> None:
        for key in ("head_dim", "n_heads", "d_model"):
            checked(key, getattr(self, key), Count)
        checked("train_length", self.original_length, AtLeastTwo)


class PositionalEncoding(nn.Module):
    """Base class of all schemes. Every method's default is neutral: a model without positions.

    Args:
        shape: Dimensions of the network.

    Attributes:
        paper: Sources of the scheme, such as "arXiv:2309.00071"; several are joined by ", ".
        stages: Keys of `STAGES`: how the scheme is put to use.
        inherited_settings: Settings that an extension takes from the run unless they are given.
        own_weights: Attention weights are not a softmax of scores and a bias, so no window or sink
            applies.
        own_scores: Attention scores are not products of queries and keys, so no window applies.
        family: Kind of scheme; an extension replaces a scheme of the same family.
        relative: Attention logits depend on distances only, so shifted positions change nothing.
        length_dependent: Logits at a position depend on the length of the whole context.
        max_length: Longest context in tokens at which the scheme is defined; None: no limit.
        embedding_std: Initial standard deviation of token embeddings; None: the network's own.
        modifiers: Modifiers attached to the scheme, by config group (window, attention_scale, ..).
        trained_length: Longest context length in tokens that training has reached.
        progress: Completed share of the training steps, 0 to 1.
        rng_key: (seed, step) of the current training step; None in evaluation.
        stage_window: The last keys that a query attends to in this stage of training; None: all.
    """

    paper: ClassVar[str] = ""
    stages: ClassVar[frozenset[str]] = frozenset()
    inherited_settings: ClassVar[tuple[str, ...]] = ()
    former_settings: ClassVar[dict[str, str]] = {}

    own_weights: ClassVar[bool] = False
    own_scores: ClassVar[bool] = False
    family: str = "none"
    relative: bool = True
    length_dependent = False
    max_length: int | None = None
    embedding_std: float | None = None

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.modifiers = nn.ModuleDict()
        self.trained_length = shape.original_length
        self.progress = 1.0
        self.rng_key: tuple[int, int] | None = None
        self.stage_window: int | None = None

    def set_progress(
        self,
        *,
        trained_length: int,
        progress: float = 1.0,
        rng_key: tuple[int, int] | None = None,
        stage_window: int | None = None,
    ) -> None:
        """Set the state of training. The trainer calls this before every step.

        A new scheme is in the state of completed training.

        Args:
            trained_length: Longest context length reached, in tokens.
            progress: Completed share of the training steps.
            rng_key: (seed, step), the key of random training-time positions; None in evaluation.
            stage_window: The last keys that a query attends to, its own included; None: all.
        """
        self.trained_length = trained_length
        self.progress = progress
        self.rng_key = rng_key
        self.stage_window = stage_window

    def layers(self, count: int) -> "list[PositionalEncoding]":
        """Return the scheme of each of `count` layers. Layers with the same scheme share tables."""
        return [self] * count

    def positions(self, length: int, device: torch.device | None = None) -> Tensor:
        """Return the positions of a context of `length` tokens: increasing, (T,).

        They are int64, and float64 under `random_floats`.
        """
        if "position_ids" in self.modifiers:
            position_ids = cast("PositionIds", self.modifiers["position_ids"])
            return position_ids.positions(length, self.rng_key).to(device)
        return torch.arange(length, device=device)

    def read_vocabulary(self, texts: Iterable[str]) -> None:
        """Read the text of every token, in order; of use where positions depend on the tokens.

        A network is told before its first context.
        """

    def token_positions(self, tokens_BT: Tensor) -> Tensor:
        """Return the positions of the tokens of contexts: (T,), or (B, T) where they differ.

        `embed` and `tables` take what this returns.
        """
        return self.positions(tokens_BT.shape[1], tokens_BT.device)

    def effective_length(self, length: int) -> int:
        """Return the largest position + 1 that training at `length` tokens may meet.

        It is larger than `length` for PoSE and randomized positions.
        """
        if "position_ids" in self.modifiers:
            return cast("PositionIds", self.modifiers["position_ids"]).effective_length(length)
        return length

    def embed(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        """Map token embeddings to the input of the first layer; the shape stays (B, T, C)."""
        return x_BTC

    def rotation(self, positions_T: Tensor, length: int) -> Rotation | None:
        """Return the rotation of queries and keys in a context of `length` tokens."""
        return None

    def bias(self, positions_K: Tensor) -> KeyBias | DistanceBias | PairBias | None:
        """Return the term that is added to the attention logits."""
        return None

    def logit_factor(self, length: int) -> float:
        """Return the scheme's own factor on the attention logits at `length` tokens of context."""
        return 1.0

    def make_layer_module(self) -> nn.Module | None:
        """Return a new module for one layer, or None.

        The module maps the attention input (B, T, C) and the layer's tables to new tables.
        """
        return None

    def make_layer_modules(self) -> list[nn.Module]:
        """Return new modules for one layer: the scheme's own and those of its modifiers."""
        modifiers = cast("list[Modifier]", self.modifiers.values())
        layer_modules = [owner.make_layer_module() for owner in (self, *modifiers)]
        return [module for module in layer_modules if module is not None]

    def tables(self, positions_T: Tensor) -> AttentionTables:
        """Return all tables that attention needs for one forward pass over these positions."""
        rotation = self.rotation(positions_T, len(positions_T))
        tables = AttentionTables(positions_T, rotation, self.bias(positions_T))
        for modifier in cast("list[Modifier]", self.modifiers.values()):
            tables = modifier.apply(tables, self)
        if self.stage_window is not None:
            tables = tables._replace(key_groups=(last_keys(self.stage_window),))
        return tables

    def attach(self, group: str, modifier: "Modifier") -> None:
        """Add a modifier, or replace the one of the same group.

        Raises:
            PosextError: The modifier does not apply to this scheme.
        """
        modifier.check(self)
        self.modifiers[group] = modifier
        self.length_dependent = self.length_dependent or modifier.length_dependent
        self.relative = self.relative and modifier.keeps_relative(self)

    def describe(self) -> dict[str, Any]:
        """Return figures that a run records and that its config does not show."""
        return {}


class Modifier(nn.Module):
    """Base class of choices beside the scheme, which change its tables. The default is neutral.

    Args:
        shape: Dimensions of the network.

    Attributes:
        paper: Sources, as in `PositionalEncoding`.
        stages: Keys of `STAGES`; empty for a modifier that changes nothing.
        length_dependent: Logits at a position depend on the length of the whole context.
        former_settings: Names of settings in older runs, and their names now.
    """

    paper: ClassVar[str] = ""
    stages: ClassVar[frozenset[str]] = frozenset()
    former_settings: ClassVar[dict[str, str]] = {}

    length_dependent = False

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape

    def check(self, scheme: PositionalEncoding) -> None:
        """Raise PosextError if the modifier does not apply to this scheme."""

    def keeps_relative(self, scheme: PositionalEncoding) -> bool:
        """Return whether logits of a relative scheme still depend on distances only."""
        return True

    def apply(self, tables: AttentionTables, scheme: PositionalEncoding) -> AttentionTables:
        """Map the tables of `scheme` to the tables that attention uses."""
        return tables

    def make_layer_module(self) -> nn.Module | None:
        """Return a new module for one layer, as a scheme does."""
        return None


class PositionIds(Modifier):
    """Positions of the tokens of a context. The default is 0, 1, 2, .."""

    def positions(self, length: int, rng_key: tuple[int, int] | None) -> Tensor:
        """Return increasing positions, int64 or float64 (T,).

        Args:
            length: Context length in tokens.
            rng_key: (seed, step) of a training step; None: the positions of evaluation.
        """
        return torch.arange(length)

    def effective_length(self, length: int) -> int:
        """Return the largest position + 1 that training at `length` tokens may meet."""
        return length
