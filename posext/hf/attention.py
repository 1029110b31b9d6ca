"""Attention of a checkpoint under windows, index remappings and temperatures.

transformers hands an attention function queries and keys that are rotated already. They are turned
back by the rotation that the model made, and go through `posext.model.attention` under the tables
of a scheme. Layers of local attention stay as they are.

An observer sees the weights of all layers. Without tables the queries and keys that transformers
hands over are used as they are, under the mask that comes with them.

Shape suffixes: B batch, H heads, T tokens, D head_dim, R rotary pairs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from posext.model.attention import attend, prepare
from posext.model.observation import Observer
from posext.model.queries_and_keys import apply_rotary
from posext.pe import PositionalEncoding
from posext.pe.tables import AttentionTables, KeyGroup, Rotation
from posext.utils.errors import PosextError

NAME = "posext"  # of the attention function, in transformers
# Arguments of an attention function that it does not know of.
REFUSED_ARGUMENTS = {"softcap": "caps its logits", "s_aux": "has learned sinks"}
TABLES: ContextVar[AttentionTables | None] = ContextVar("tables", default=None)


class Watch(NamedTuple):
    """An observer, and the factor that a model puts on its logits beside its own scaling."""

    observer: Observer
    logit_factor: float


WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


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
    tables = TABLES.get()
    watch = WATCH.get()
    if watch is not None and (tables is None or sliding_window is not None):
        own_tables = tables_of(query, attention_mask, watch, module.layer_idx, **arguments)
        return attend_under(own_tables, query, key, value, scaling), None
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
    assert tables is not None
    if not getattr(module, "use_rope", True):
        groups = (group._replace(queries=None, keys=None) for group in tables.key_groups)
        tables = tables._replace(rotation=None, key_groups=tuple(groups))
    if watch is not None:
        tables = tables._replace(
            observe=partial(watch.observer.attention, module.layer_idx, tables)
        )
    q_BHTD = turned_back(query, tables.rotation)
    k_BHTD = turned_back(key, tables.rotation)
    return attend_under(tables, q_BHTD, k_BHTD, value, scaling), None


def attend_under(
    tables: AttentionTables, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, scaling: float | None
) -> Tensor:
    """Attend with as many heads of keys and values as a model has: (B, T, H, D)."""
    heads_per_key = q_BHTD.shape[1] // k_BHTD.shape[1]
    k_BHTD = k_BHTD.repeat_interleave(heads_per_key, dim=1)
    v_BHTD = v_BHTD.repeat_interleave(heads_per_key, dim=1)
    if scaling is not None:
        q_BHTD = q_BHTD * (scaling * q_BHTD.shape[-1] ** 0.5)
    return attend(q_BHTD, k_BHTD, v_BHTD, tables).transpose(1, 2).contiguous()


def tables_of(
    query: Tensor,
    mask_B1TT: Tensor | None,
    watch: Watch,
    layer: int,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> AttentionTables:
    """Tables for queries and keys that are rotated already; the mask is None for a causal one."""
    positions_T = torch.arange(query.shape[2], device=query.device)
    tables = AttentionTables(positions_T, softcap=softcap, sink_H=s_aux)
    if mask_B1TT is not None:
        mask_TT = mask_B1TT[0, 0]
        visible = KeyGroup(lambda queries_Q1, keys_1K: mask_TT[queries_Q1, keys_1K])
        tables = tables._replace(key_groups=(visible,))
    factor_T = torch.full(positions_T.shape, watch.logit_factor, device=query.device)
    shown = tables._replace(logit_scale=factor_T)
    return tables._replace(observe=partial(watch.observer.attention, layer, shown))


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
