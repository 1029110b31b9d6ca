"""Adapter: a causal language model of transformers with the interface of posext's GPT.

Shape suffixes: B batch, T tokens, K targets, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn

from posext.eval.scoring import last_positions, target_nll
from posext.pe import PositionalEncoding, Shape
from posext.pe.rope import RoPE

MAX_LOGITS = 2**28  # logits held at once, unless a single window has more


class CheckpointPositions(PositionalEncoding):
    """The positional scheme built into a checkpoint: no tables, only facts for the evaluator."""

    def __init__(self, shape: Shape, family: str, max_length: int | None = None):
        super().__init__(shape)
        self.family = family
        self.max_length = max_length


class RotaryCheckpointPositions(CheckpointPositions):
    """A checkpoint's own rotary scheme, which rotary extensions may replace.

    `attention_factor` is the checkpoint's factor on cos and sin.
    """

    inherited_settings = RoPE.inherited_settings

    def __init__(self, shape: Shape, attention_factor: float):
        super().__init__(shape, RoPE.family)
        self.attention_factor = attention_factor

    def logit_factor(self, length: int) -> float:
        return self.attention_factor**2


class Network(nn.Module):
    """A model of transformers under a positional scheme.

    Under a rotary scheme, the model turns by the scheme's frequencies at every length; it must have
    been loaded without its own scaling. Under `CheckpointPositions` it keeps its own.
    """

    def __init__(self, model: Any, pe: PositionalEncoding):
        super().__init__()
        self.model = model
        self.pe = pe
        model.config.use_cache = False
        keep_in_float32(model.get_output_embeddings())

    def forward(self, tokens_BT: Tensor, last: int | None = None) -> Tensor:
        """Logits (B, `last` or T, V)."""
        for module in rotary_modules(self.model):
            if isinstance(self.pe, RoPE):
                inv_freq, module.attention_scaling = self.pe.frequencies(tokens_BT.shape[1])
                module.inv_freq = inv_freq.to(module.inv_freq)
            else:
                # dynamic scaling must forget the longest context it has seen
                module.max_seq_len_cached = 0
        options = {} if last is None else last_positions(self.model, last)
        logits_BTV = self.model(tokens_BT, **options).logits
        return logits_BTV if last is None else logits_BTV[:, -last:]

    def target_nll(self, tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
        """The NLL (nats) of the labels of the last K positions: float32 (B, K)."""
        vocab_size = self.model.config.get_text_config().vocab_size
        rows = max(1, MAX_LOGITS // (labels_BK.shape[1] * vocab_size))
        batches = zip(tokens_BT.split(rows), labels_BK.split(rows), strict=True)
        return torch.cat([target_nll(self.forward, tokens, labels) for tokens, labels in batches])

    def logit_multiplier(self, length: int) -> float:
        return self.pe.logit_factor(length)


def rotary_modules(model: nn.Module) -> list[Any]:
    """The modules that hold a table of rotary frequencies and the factor on cos and sin."""
    return [
        module
        for module in model.modules()
        if hasattr(module, "inv_freq") and hasattr(module, "attention_scaling")
    ]


def rope_parameters(config: Any) -> dict[str, Any]:
    """Read the rotary settings that all layers of a model share; empty if there are none."""
    text_config = config.get_text_config()
    parameters = getattr(text_config, "rope_parameters", None) or {}
    if "rope_theta" not in parameters or getattr(text_config, "alibi", False):
        return {}
    return parameters


def checkpoint_positions(skeleton: Any, original_length: int) -> CheckpointPositions:
    """Describe the positional scheme of a model.

    Learned or stored tables of positions end at the config's `max_position_embeddings`, which then
    is the longest length (tokens) of the scheme.
    """
    config = skeleton.config.get_text_config()
    rotary = rotary_modules(skeleton)
    heads = getattr(config, "num_attention_heads", 1)
    width = config.hidden_size
    pairs = {len(module.inv_freq) for module in rotary}
    if len(pairs) == 1 and rope_parameters(config):
        shape = Shape(2 * pairs.pop(), heads, width, original_length)
        return RotaryCheckpointPositions(shape, float(rotary[0].attention_scaling))
    shape = Shape(width // heads, heads, width, original_length)
    max_length = None if rotary else table_end(skeleton, config)
    return CheckpointPositions(shape, config.model_type, max_length=max_length)


def table_end(skeleton: Any, config: Any) -> int | None:
    """The number of positions in a model's learned or stored table; None without such a table."""
    end = getattr(config, "max_position_embeddings", None)
    if end is None:
        return None
    token_embedding = skeleton.get_input_embeddings()
    learned = [
        module.num_embeddings
        for module in skeleton.modules()
        if isinstance(module, nn.Embedding) and module is not token_embedding
    ]
    stored = [size for buffer in skeleton.buffers() for size in buffer.shape]
    return end if max(learned, default=0) >= end or end in stored else None


def keep_in_float32(head: nn.Module) -> None:
    """Make a head compute in float32: half-precision logits would round away 1e-2 nats."""
    original_forward = head.forward

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return original_forward(x.float())

    head.forward = forward
