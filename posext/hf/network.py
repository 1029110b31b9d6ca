"""Adapter: a causal language model of transformers with the interface of posext's GPT.

Shape suffixes: B batch, T tokens, K targets, V vocabulary.
"""

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from posext.eval.scoring import last_positions, target_nll
from posext.hf.attention import under
from posext.hf.observation import check_same, observed
from posext.model.loss import nll_of, split
from posext.model.observation import Observer
from posext.pe import PositionalEncoding, Shape
from posext.pe.rope import RoPE

MAX_LOGITS = 2**28  # logits held at once, unless a single window has more
# The kind of layer whose frequencies an extension replaces, where a model has several kinds.
GLOBAL_LAYERS = "full_attention"


class RotaryTable(NamedTuple):
    """The frequencies of a module, for all layers or for one kind of layer."""

    module: Any
    prefix: str  # of the attributes: "" or "full_attention_"

    @property
    def inv_freq(self) -> Tensor:
        return getattr(self.module, f"{self.prefix}inv_freq")

    @property
    def attention_scaling(self) -> float:
        return float(getattr(self.module, f"{self.prefix}attention_scaling"))

    def replace(self, inv_freq_R: Tensor, attention_scaling: float) -> None:
        """Make the module turn by other frequencies (radians a token), and another factor."""
        setattr(self.module, f"{self.prefix}inv_freq", inv_freq_R.to(self.inv_freq))
        setattr(self.module, f"{self.prefix}attention_scaling", attention_scaling)


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
    been loaded without its own scaling. Under `CheckpointPositions` it keeps its own. Where layers
    of global and of local attention turn by different frequencies, the scheme's are those of the
    global ones.

    Args:
        model: the model.
        pe: the scheme.
        bos: the start-of-text token that takes the place of the first token of a measured window;
            None for none.
    """

    def __init__(self, model: Any, pe: PositionalEncoding, bos: int | None = None):
        super().__init__()
        self.model = model
        self.pe = pe
        self.bos = bos
        model.config.use_cache = False
        keep_in_float32(model.get_output_embeddings())

    def forward(
        self, tokens_BT: Tensor, targets_BT: Tensor | None = None, *, last: int | None = None
    ) -> Tensor:
        """Logits (B, `last` or T, V), or with targets their summed NLL in nats."""
        length = tokens_BT.shape[1]
        self.turn(length)
        if self.pe.modifiers:
            with under(self.pe, length, tokens_BT.device):
                return self.outputs(tokens_BT, targets_BT, last)
        return self.outputs(tokens_BT, targets_BT, last)

    def outputs(self, tokens_BT: Tensor, targets_BT: Tensor | None, last: int | None) -> Tensor:
        """What `forward` returns, once the model turns as it should."""
        if targets_BT is not None:
            return self.summed_nll(tokens_BT, targets_BT)
        options = {} if last is None else last_positions(self.model, last)
        logits_BTV = self.model(tokens_BT, **options).logits
        return logits_BTV if last is None else logits_BTV[:, -last:]

    def turn(self, length: int) -> None:
        """Make the model turn by the scheme's frequencies in a context of `length` tokens."""
        for table in rotary_tables(self.model):
            if isinstance(self.pe, RoPE):
                table.replace(*self.pe.frequencies(length))
            else:
                # dynamic scaling must forget the longest context it has seen
                setattr(table.module, f"{table.prefix}max_seq_len_cached", 0)

    def summed_nll(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """The summed NLL (nats) of all targets; logits are held for a chunk of positions."""
        x_BTC = decoder(self.model)(tokens_BT).last_hidden_state
        total = x_BTC.new_zeros((), dtype=torch.float32)
        for x_BKC, labels_BK in zip(split(x_BTC), split(targets_BT), strict=True):
            total = total + checkpoint(self.chunk_nll, x_BKC, labels_BK, use_reentrant=False)
        return total

    def chunk_nll(self, x_BKC: Tensor, labels_BK: Tensor) -> Tensor:
        return nll_of(self.head(x_BKC), labels_BK).sum()

    def head(self, x_BKC: Tensor) -> Tensor:
        """Logits (B, K, V) of hidden states, with the factors and the soft cap of the config."""
        config = self.model.config.get_text_config()
        logits_BKV = self.model.get_output_embeddings()(x_BKC)
        logits_BKV = logits_BKV * (getattr(config, "logit_scale", None) or 1.0)
        logits_BKV = logits_BKV / (getattr(config, "logits_scaling", None) or 1.0)
        if cap := getattr(config, "final_logit_softcapping", None):
            return cap * torch.tanh(logits_BKV / cap)
        return logits_BKV

    def compile_parts(self) -> "Network":
        """Compile the model."""
        self.model.compile(dynamic=False)
        return self

    def n_parameters(self) -> int:
        """The number of all parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def target_nll(self, tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
        """The NLL (nats) of the labels of the last K positions: float32 (B, K)."""
        tokens_BT = self.with_start(tokens_BT)
        vocab_size = self.model.config.get_text_config().vocab_size
        rows = max(1, MAX_LOGITS // (labels_BK.shape[1] * vocab_size))
        batches = zip(tokens_BT.split(rows), labels_BK.split(rows), strict=True)
        return torch.cat([target_nll(self.forward, tokens, labels) for tokens, labels in batches])

    def with_start(self, tokens_BT: Tensor) -> Tensor:
        """The tokens of measured windows, with the start-of-text token in the first place."""
        if self.bos is None:
            return tokens_BT
        return torch.cat((torch.full_like(tokens_BT[:, :1], self.bos), tokens_BT[:, 1:]), dim=1)

    @torch.no_grad()
    def observe(self, tokens_BT: Tensor, observer: Observer) -> None:
        """Read measured windows while an observer looks at attention and hidden states.

        Raises PosextError where that is not possible, or would change what the model computes.
        """
        tokens_BT = self.with_start(tokens_BT)
        length = tokens_BT.shape[1]
        self.turn(length)
        body = decoder(self.model)
        tables = under(self.pe, length, tokens_BT.device) if self.pe.modifiers else nullcontext()
        with tables:
            own_BTC = body(tokens_BT).last_hidden_state
            with observed(self.model, body, observer, self.pe.logit_factor(length)):
                observed_BTC = body(tokens_BT).last_hidden_state
        check_same(self.model, own_BTC, observed_BTC)

    def logit_multiplier(self, length: int) -> float:
        """The factor on the last query's logits, beside the model's own scaling."""
        factor = self.pe.logit_factor(length)
        if not self.pe.modifiers:
            return factor
        scale = self.pe.tables(self.pe.positions(length)).logit_scale
        return factor if scale is None else factor * float(scale[..., -1].mean())


def decoder(model: Any) -> Any:
    """The part of a causal model below its head."""
    found = model.get_decoder()
    return model.model if found is model else found  # Llama 4 does not tell


def rotary_tables(model: nn.Module) -> list[RotaryTable]:
    """The frequencies of a model, those of its global layers where it has several kinds."""
    return [
        RotaryTable(module, prefix)
        for module in model.modules()
        for prefix in ("", f"{GLOBAL_LAYERS}_")
        if hasattr(module, f"{prefix}inv_freq") and hasattr(module, f"{prefix}attention_scaling")
    ]


def rope_parameters(config: Any) -> dict[str, Any]:
    """Read the rotary settings of a model's global layers; empty if there are none."""
    text_config = config.get_text_config()
    parameters = getattr(text_config, "rope_parameters", None) or {}
    parameters = parameters.get(GLOBAL_LAYERS, parameters)
    if "rope_theta" not in parameters or getattr(text_config, "alibi", False):
        return {}
    return parameters


def set_rope_parameters(config: Any, parameters: dict[str, Any]) -> None:
    """Replace the rotary settings of a model's global layers."""
    text_config = config.get_text_config()
    if GLOBAL_LAYERS in text_config.rope_parameters:
        parameters = {**text_config.rope_parameters, GLOBAL_LAYERS: parameters}
    text_config.rope_parameters = parameters


def checkpoint_positions(skeleton: Any, original_length: int) -> CheckpointPositions:
    """Describe the positional scheme of a model.

    Learned or stored tables of positions end at the config's `max_position_embeddings`, which then
    is the longest length (tokens) of the scheme.
    """
    config = skeleton.config.get_text_config()
    rotary = rotary_tables(skeleton)
    heads = getattr(config, "num_attention_heads", 1)
    width = config.hidden_size
    pairs = {len(table.inv_freq) for table in rotary}
    if len(pairs) == 1 and rope_parameters(config):
        shape = Shape(2 * pairs.pop(), heads, width, original_length)
        return RotaryCheckpointPositions(shape, rotary[0].attention_scaling)
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
