"""The settings of a network, and what goes with its kind: attention, or a recurrence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from omegaconf import MISSING

from posext.utils.errors import PosextError
from posext.utils.ranges import Count, OneOf, Positive

TRANSFORMER = "transformer"
Kind = Annotated[str, OneOf((TRANSFORMER, "gated_deltanet", "mamba2"))]
OF_ATTENTION = ("n_kv_heads", "attention_softcap")  # settings of the model that need attention


@dataclass
class ModelConfig:
    """The size of a network, or the path of a checkpoint of transformers."""

    name: str = MISSING  # of the size, as in the name of a run
    n_layers: Count = MISSING  # blocks of attention and SwiGLU
    n_heads: Count = MISSING  # a divisor of d_model
    d_model: Count = MISSING  # width of the network
    d_ff: Count = MISSING  # width inside SwiGLU
    learning_rate: Positive = MISSING  # default of the top-level learning_rate at this size
    path: str | None = None  # model=hf: the folder of a checkpoint, or its id on the hub
    head_dim: Count | None = None  # width of a head; null: d_model / n_heads
    # heads of keys and values, a divisor of n_heads (Ainslie et al. 2023); null: n_heads
    n_kv_heads: Count | None = None
    tied_embeddings: bool = True  # whether the output matrix is that of the token embeddings
    # initial standard deviation of token embeddings, unless the scheme has its own; null: 0.02, as
    # for all matrices. Large ones want tied_embeddings=false, or the first logits are large too
    embedding_std: Positive | None = None
    # c of c tanh(x / c) on attention scores, before a bias (Gemma 2: 50); null: none
    attention_softcap: Positive | None = None
    logit_softcap: Positive | None = None  # the same on the output's logits (Gemma 2: 30)
    kind: Kind = "transformer"  # what mixes tokens: attention, or a recurrence with +pe=none alone

    def head_width(self) -> int:
        """Return the width of a head. Raises PosextError if the heads do not divide d_model."""
        if self.head_dim is not None:
            return self.head_dim
        if self.d_model % self.n_heads:
            raise PosextError(
                f"model.n_heads={self.n_heads} does not divide model.d_model={self.d_model}; "
                "set model.head_dim too"
            )
        return self.d_model // self.n_heads

    def kv_heads(self) -> int:
        """Return the heads of keys and values. Raises PosextError if they do not divide n_heads."""
        heads = self.n_kv_heads or self.n_heads
        if self.n_heads % heads:
            raise PosextError(
                f"model.n_kv_heads={heads} does not divide model.n_heads={self.n_heads}"
            )
        return heads


def check_kind(model: ModelConfig, choices: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise PosextError for anything beside a recurrence that acts on attention.

    Args:
        model: The config of the network.
        choices: Settings of the scheme (`pe`) and of the modifiers, by group.
    """
    if model.kind == TRANSFORMER:
        return
    chosen = [f"{group}={settings['name']}" for group, settings in choices.items()]
    refused = [choice for choice in chosen if choice != "pe=none"]
    refused += [f"model.{key}" for key in OF_ATTENTION if getattr(model, key) is not None]
    if refused:
        raise PosextError(
            f"model.kind={model.kind} has no attention for {' '.join(refused)} to act on; "
            "it goes with +pe=none and nothing beside it"
        )
