"""Attention of a checkpoint under windows, index remappings and temperatures.

transformers hands an attention function queries and keys that are rotated already. They are turned
back by the rotation that the model made, and go through `posext.model.attention` under the tables
of a scheme. Layers of local attention stay as they are.

Shape suffixes: B batch, H heads, T tokens, D head_dim, R rotary pairs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from posext.model.attention import attend, prepare
from posext.model.queries_and_keys import apply_rotary
from posext.pe import PositionalEncoding
from posext.pe.tables import AttentionTables, Rotation
from posext.utils.errors import PosextError

NAME = "posext"  # of the attention function, in transformers
# Arguments of an attention function that it does not know of.
REFUSED_ARGUMENTS = {"softcap": "caps its logits", "s_aux": "has learned sinks"}
TABLES: ContextVar[AttentionTables] = ContextVar("tables")


def take_over(model: Any) -> None:
    """Make a model of transformers attend under the tables of `under`."""
    AttentionInterface.register(NAME, table_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


@contextmanager
def under(scheme: PositionalEncoding, length: int, device: torch.device) -> Iterator[None]:
    """Set the tables of a context of `length` tokens, for the models that `take_over` changed."""
    token = TABLES.set(prepare(scheme.tables(scheme.positions(length, device))))
    try:
        yield
    finally:
        TABLES.reset(token)


def table_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **arguments: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' attention functions do: (B, H, T, D) to (B, T, H, D).

    Raises PosextError for attention that is more than a softmax of scaled scores.
    """
    if sliding_window is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **arguments
        )
    for name, what in REFUSED_ARGUMENTS.items():
        if arguments.get(name) is not None:
            raise PosextError(
                f"windows and temperatures need attention that is a softmax of scores, "
                f"and {type(module).__name__} {what}"
            )
    tables = TABLES.get()
    if not getattr(module, "use_rope", True):
        groups = (group._replace(queries=None, keys=None) for group in tables.key_groups)
        tables = tables._replace(rotation=None, key_groups=tuple(groups))
    heads_per_key = query.shape[1] // key.shape[1]
    q_BHTD = turned_back(query, tables.rotation)
    k_BHTD = turned_back(key, tables.rotation).repeat_interleave(heads_per_key, dim=1)
    v_BHTD = value.repeat_interleave(heads_per_key, dim=1)
    if scaling is not None:
        q_BHTD = q_BHTD * (scaling * query.shape[-1] ** 0.5)
    attended_BHTD = attend(q_BHTD, k_BHTD, v_BHTD, tables)
    return attended_BHTD.transpose(1, 2).contiguous(), None


def turned_back(x_BHTD: Tensor, rotation: Rotation | None) -> Tensor:
    """Undo a rotation of queries or keys, and its factor."""
    if rotation is None:
        return x_BHTD
    squared_factor_TR = rotation.cos_TR**2 + rotation.sin_TR**2
    inverse = Rotation(rotation.cos_TR / squared_factor_TR, -rotation.sin_TR / squared_factor_TR)
    return apply_rotary(x_BHTD, inverse, 1)


@torch.no_grad()
def check_attention(network: Any, plain: PositionalEncoding, length: int) -> None:
    """Raise PosextError unless a model's own attention is that of `plain`, its scheme alone.

    Args:
        network: The network of a checkpoint, before `take_over`.
        plain: The scheme of the network without modifiers.
        length: Tokens of the context to compare at.
    """
    generator = torch.Generator().manual_seed(0)
    vocab_size = network.model.config.get_text_config().vocab_size
    tokens = torch.randint(vocab_size, (1, length), generator=generator)
    network.turn(length)
    own = network.model(tokens).logits
    take_over(network.model)
    with under(plain, length, tokens.device):
        ours = network.model(tokens).logits
    difference = float((own - ours).abs().max() / own.abs().max())
    if not difference <= 1e-3:
        raise PosextError(
            f"attention of {network.model.config.model_type} is more than this version can take "
            f"apart ({difference:.1e} off), so it takes no windows and temperatures"
        )
