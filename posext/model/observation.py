"""Observation of a network at work: its attention and its hidden states, layer by layer.

Shape suffixes: B batch, T tokens, C model width.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Protocol, cast

from torch import Tensor, nn

from posext.pe.tables import AttentionRows, AttentionTables


class Observer(Protocol):
    """What is told of a forward pass. Layers count from 0."""

    def attention(self, layer: int, tables: AttentionTables, rows: AttentionRows) -> None:
        """Take the rows of some queries, and the tables that they were computed under."""

    def hidden(self, layer: int, x_BTC: Tensor) -> None:
        """Take the output of a layer, with what it adds to: the residual stream after it."""


class Watch(nn.Module):
    """The last positional module of a layer, through which an observer looks at its attention."""

    def __init__(self, observer: Observer, layer: int):
        super().__init__()
        self.show = partial(observer.attention, layer)

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        return tables._replace(observe=partial(self.show, tables))


@contextmanager
def observed(blocks: nn.ModuleList, observer: Observer) -> Iterator[None]:
    """Let an observer look at blocks of attention while they run; they compute the same."""
    with ExitStack() as stack:
        for layer, block in enumerate(blocks):
            order = cast(Any, block).attention.order
            order.append(Watch(observer, layer))
            stack.callback(order.pop, -1)
            stack.enter_context(hidden_shown(block, observer, layer))
        yield


@contextmanager
def hidden_shown(block: nn.Module, observer: Observer, layer: int) -> Iterator[None]:
    """Show an observer the output of a block; the first one, of a block with several."""

    def show(_: nn.Module, inputs: object, output: Any) -> None:
        observer.hidden(layer, output if isinstance(output, Tensor) else output[0])

    hook = block.register_forward_hook(show)
    try:
        yield
    finally:
        hook.remove()
