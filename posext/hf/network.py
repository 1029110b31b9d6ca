"""A model of transformers asked as one of ours is, its rotary frequencies replaced by a scheme's where one is given.

Shape suffixes: B batch, T tokens, K targets, R rotated pairs.
"""

from typing import Any

import torch
from torch import Tensor, nn

from posext.pe import PositionalEncoding, Shape
from posext.pe.rope import RoPE
from posext.scoring import target_nll

LOGITS = 2**28  # numbers that are held at once, unless one window alone has more


class AsItIs(PositionalEncoding):
    """The positions that a model comes with: no tables, only what the evaluator must know of them."""

    def __init__(self, shape: Shape, family: str, attention_factor: float, max_length: int | None):
        super().__init__(shape)
        self.family, self.attention_factor, self.max_length = family, attention_factor, max_length
        self.of_the_weights = RoPE.of_the_weights if family == RoPE.family else ()

    def logit_factor(self, length: int) -> float:
        return self.attention_factor**2


class Network(nn.Module):
    """A model under a scheme: at every length its frequencies are the scheme's, or its own under `AsItIs`."""

    def __init__(self, model: Any, pe: PositionalEncoding):
        super().__init__()
        self.model, self.pe = model, pe
        model.config.use_cache = False
        keep_in_float32(model.get_output_embeddings())

    def target_nll(self, tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
        """The NLL in nats of the labels of the last K positions: float32 (B, K)."""
        if isinstance(self.pe, RoPE):
            turn(self.model, *self.pe.frequencies(tokens_BT.shape[1]))
        rows = max(1, LOGITS // (labels_BK.shape[1] * self.model.config.get_text_config().vocab_size))
        parts = zip(tokens_BT.split(rows), labels_BK.split(rows), strict=True)
        return torch.cat([target_nll(self.model, tokens, labels) for tokens, labels in parts])

    def logit_multiplier(self, length: int) -> float:
        return self.pe.logit_factor(length)


def turn(model: nn.Module, inv_freq_R: Tensor, attention_factor: float) -> None:
    """Give a model's rotary embeddings these frequencies (radians per token) and this factor on cos and sin, in place."""
    for module in rotary(model):
        module.inv_freq = inv_freq_R.to(module.inv_freq)
        module.attention_scaling, module.rope_type = attention_factor, "default"  # which does not update itself


def rotary(model: nn.Module) -> list[Any]:
    """The modules that hold a table of rotary frequencies and the factor on cos and sin."""
    return [m for m in model.modules() if hasattr(m, "inv_freq") and hasattr(m, "attention_scaling")]


def rope_parameters(config: Any) -> dict[str, Any]:
    """What a config says of the one rotary embedding that all its layers share; empty where there is none."""
    found = getattr(config.get_text_config(), "rope_parameters", None) or {}
    return found if "rope_theta" in found else {}


def positions(skeleton: Any, original_length: int) -> AsItIs:
    """What a model's positions are. A table of learned ones ends where the config says that positions end."""
    config, turned = skeleton.config.get_text_config(), rotary(skeleton)
    heads, width = config.num_attention_heads, config.hidden_size
    pairs = {len(module.inv_freq) for module in turned}
    if len(pairs) == 1 and rope_parameters(skeleton.config):
        shape = Shape(2 * pairs.pop(), heads, width, original_length)
        return AsItIs(shape, RoPE.family, float(turned[0].attention_scaling), None)
    words, end = skeleton.get_input_embeddings(), getattr(config, "max_position_embeddings", None)
    tables = [m for m in skeleton.modules() if isinstance(m, nn.Embedding) and m is not words]
    learned = not turned and end is not None and any(table.num_embeddings >= end for table in tables)
    return AsItIs(
        Shape(width // heads, heads, width, original_length), config.model_type, 1.0, end if learned else None
    )


def keep_in_float32(head: nn.Module) -> None:
    """Half-precision logits would round away 1e-2 nats."""
    plain = head.forward

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return plain(x.float())

    head.forward = forward
