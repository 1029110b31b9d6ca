"""Observation of a model of transformers: its attention and its hidden states, layer by layer.

Shape suffixes: B batch, T tokens, C model width.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from posext.hf.attention import WATCH, Watch, take_over
from posext.model.observation import Observer, hidden_shown
from posext.pe.tables import AttentionRows, AttentionTables
from posext.utils.errors import PosextError

# The norm of what observation changes in the output, over that of the output: more than rounding
# in bfloat16 would do.
DIFFERENCE = 0.05


class Counted:
    """An observer that counts the layers whose attention it has seen."""

    def __init__(self, observer: Observer):
        self.observer = observer
        self.hidden = observer.hidden
        self.layers: set[int] = set()

    def attention(self, layer: int, tables: AttentionTables, rows: AttentionRows) -> None:
        self.layers.add(layer)
        self.observer.attention(layer, tables, rows)


@contextmanager
def observed(model: Any, decoder: nn.Module, observer: Observer, factor: float) -> Iterator[None]:
    """Let an observer look at a model while it runs.

    Args:
        model: The model.
        decoder: Its part below the head.
        observer: The observer.
        factor: What the model puts on its logits beside its own scaling.

    Raises:
        PosextError: Attention of a layer cannot be seen.
    """
    layers = model.config.get_text_config().num_hidden_layers
    counted = Counted(observer)
    own_attention = model.config._attn_implementation
    take_over(model)
    token = WATCH.set(Watch(counted, factor))
    try:
        with ExitStack() as stack:
            for layer, block in enumerate(blocks(decoder, layers)):
                stack.enter_context(hidden_shown(block, observer, layer))
            yield
    finally:
        WATCH.reset(token)
        model.set_attn_implementation(own_attention)
    if len(counted.layers) < layers:
        raise PosextError(
            f"{model.config.model_type} shows its attention in {len(counted.layers)} of {layers} "
            "layers, so it cannot be observed"
        )


def blocks(decoder: nn.Module, layers: int) -> nn.ModuleList:
    """The layers of a decoder. Raises PosextError if it has no list of them."""
    for module in decoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == layers:
            return module
    raise PosextError(f"{type(decoder).__name__} has no list of {layers} layers to observe")


def check_same(model: Any, own_BTC: Tensor, observed_BTC: Tensor) -> None:
    """Raise PosextError unless a model computes under observation what it computes without."""
    difference = float((own_BTC - observed_BTC).float().norm() / own_BTC.float().norm())
    if not difference <= DIFFERENCE:
        raise PosextError(
            f"attention of {model.config.model_type} is more than this version can take apart "
            f"({difference:.1e} off), so it cannot be observed"
        )
