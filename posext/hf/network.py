"""A model of transformers asked as one of ours is, its rotary frequencies replaced by a scheme's where one is given.

Shape suffixes: B batch, T tokens, K targets, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn

from posext.eval.scoring import last_positions, target_nll
from posext.pe import PositionalEncoding, Shape
from posext.pe.rope import RoPE

LOGITS = 2**28  # numbers that are held at once, unless one window alone has more


class AsItIs(PositionalEncoding):
    """The positions that a model comes with: no tables, only what the evaluator must know of them."""

    def __init__(
        self,
        shape: Shape,
        family: str,
        attention_factor: float = 1.0,
        max_length: int | None = None,
    ):
        super().__init__(shape)
        self.family = family
        self.inherited_settings = RoPE.inherited_settings if family == RoPE.family else ()  # type: ignore[misc]
        self.attention_factor, self.max_length = attention_factor, max_length

    def logit_factor(self, length: int) -> float:
        return self.attention_factor**2


class Network(nn.Module):
    """A model under a scheme: rotary frequencies are the scheme's at every length, or the model's own under `AsItIs`.

    The frequencies of a scheme go into a model that was loaded without its scaling.
    """

    def __init__(self, model: Any, pe: PositionalEncoding):
        super().__init__()
        self.model, self.pe = model, pe
        model.config.use_cache = False
        keep_in_float32(model.get_output_embeddings())

    def forward(self, tokens_BT: Tensor, last: int | None = None) -> Tensor:
        """Logits (B, `last` or T, V)."""
        for module in rotary(self.model):
            if isinstance(self.pe, RoPE):
                inv_freq, module.attention_scaling = self.pe.frequencies(tokens_BT.shape[1])
                module.inv_freq = inv_freq.to(module.inv_freq)
            else:
                module.max_seq_len_cached = (
                    0  # else dynamic scaling remembers the longest context it has seen
                )
        some = {} if last is None else last_positions(self.model, last)
        logits_BTV = self.model(tokens_BT, **some).logits
        return logits_BTV if last is None else logits_BTV[:, -last:]

    def target_nll(self, tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
        """The NLL in nats of the labels of the last K positions: float32 (B, K)."""
        rows = max(
            1, LOGITS // (labels_BK.shape[1] * self.model.config.get_text_config().vocab_size)
        )
        parts = zip(tokens_BT.split(rows), labels_BK.split(rows), strict=True)
        return torch.cat([target_nll(self.forward, tokens, labels) for tokens, labels in parts])

    def logit_multiplier(self, length: int) -> float:
        return self.pe.logit_factor(length)


def rotary(model: nn.Module) -> list[Any]:
    """The modules that hold a table of rotary frequencies and the factor on cos and sin."""
    return [
        m for m in model.modules() if hasattr(m, "inv_freq") and hasattr(m, "attention_scaling")
    ]


def rope_parameters(config: Any) -> dict[str, Any]:
    """What a config says of the one rotary embedding that all its layers share; empty where there is none."""
    text = config.get_text_config()
    found = getattr(text, "rope_parameters", None) or {}
    return found if "rope_theta" in found and not getattr(text, "alibi", False) else {}


def as_it_is(skeleton: Any, original_length: int) -> AsItIs:
    """What a model's positions are. Tables of learned or stored ones end where the config says that positions end."""
    config, turning = skeleton.config.get_text_config(), rotary(skeleton)
    heads, width = getattr(config, "num_attention_heads", 1), config.hidden_size
    pairs = {len(module.inv_freq) for module in turning}
    if len(pairs) == 1 and rope_parameters(config):
        shape = Shape(2 * pairs.pop(), heads, width, original_length)
        return AsItIs(shape, RoPE.family, float(turning[0].attention_scaling))
    shape, end = (
        Shape(width // heads, heads, width, original_length),
        getattr(config, "max_position_embeddings", None),
    )
    words = skeleton.get_input_embeddings()
    learned = [
        m.num_embeddings
        for m in skeleton.modules()
        if isinstance(m, nn.Embedding) and m is not words
    ]
    stored = [size for buffer in skeleton.buffers() for size in buffer.shape]
    ends = not turning and end is not None and (max(learned, default=0) >= end or end in stored)
    return AsItIs(shape, config.model_type, max_length=end if ends else None)


def keep_in_float32(head: nn.Module) -> None:
    """Half-precision logits would round away 1e-2 nats."""
    plain = head.forward

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return plain(x.float())

    head.forward = forward
