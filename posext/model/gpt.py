"""Decoder-only transformer like Llama: pre-RMSNorm, SwiGLU, no biases; or a recurrence in it.

It takes tables from a positional scheme and does not depend on which scheme it is.

Shape suffixes: B batch, T tokens, C model width, H heads, D head_dim, V vocabulary.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from posext.config import TRANSFORMER, ModelConfig
from posext.model.attention import attend, prepare
from posext.model.gated_deltanet import GatedDeltaNet
from posext.model.loss import capped, chunked_nll, summed_nll
from posext.model.mamba2 import Mamba2
from posext.model.mlp import MLP
from posext.model.norm import RMSNorm
from posext.model.observation import Observer, observed
from posext.model.queries_and_keys import logit_multiplier
from posext.model.recurrence import Decay, ShortConvolution
from posext.pe.base import PositionalEncoding
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError
from posext.utils.rng import stream_seed

# Standard deviation of initial weights.
INITIAL_STD = 0.02
# Compiled versions of one function that torch may keep; its default is 8.
RECOMPILE_LIMIT = 64


class Attention(nn.Module):
    """Multi-head causal attention.

    Args:
        config: Dimensions of the network.
        position_modules: The layer's positional modules, which map tables to tables. They are
            stored as `order`, the name in the keys of saved weights.
    """

    def __init__(self, config: ModelConfig, position_modules: list[nn.Module]):
        super().__init__()
        self.n_heads = config.n_heads
        self.kv_heads = config.kv_heads()
        self.width = config.n_heads * config.head_width()
        self.softcap = config.attention_softcap
        self.order = nn.ModuleList(position_modules)
        kv_width = self.kv_heads * config.head_width()
        self.qkv = nn.Linear(config.d_model, self.width + 2 * kv_width, bias=False)
        self.out = nn.Linear(self.width, config.d_model, bias=False)

    def forward(self, x_BTC: Tensor, tables: AttentionTables, last: int | None = None) -> Tensor:
        batch, length, _ = x_BTC.shape
        for module in self.order:
            tables = module(x_BTC, tables)
        if self.softcap is not None:
            tables = tables._replace(softcap=self.softcap)
        head_counts = (self.n_heads, self.kv_heads, self.kv_heads)
        heads = self.qkv(x_BTC).view(batch, length, sum(head_counts), -1).transpose(1, 2)
        q_BHTD, k_BHTD, v_BHTD = heads.split(head_counts, dim=1)
        if self.kv_heads < self.n_heads:
            k_BHTD, v_BHTD = (
                x.repeat_interleave(self.n_heads // self.kv_heads, dim=1) for x in (k_BHTD, v_BHTD)
            )
        attended_BHTD = attend(q_BHTD, k_BHTD, v_BHTD, tables, last)
        if tables.gate_BHTW is not None:
            attended_BHTD = attended_BHTD * tables.gate_BHTW[:, :, -attended_BHTD.shape[2] :]
        return self.out(attended_BHTD.transpose(1, 2).reshape(batch, -1, self.width))


def make_mixer(config: ModelConfig, position_modules: list[nn.Module]) -> nn.Module:
    """Return attention, or the recurrence that the config puts in its place."""
    if config.kind == "gated_deltanet":
        return GatedDeltaNet(config)
    if config.kind == "mamba2":
        return Mamba2(config)
    return Attention(config, position_modules)


class Block(nn.Module):
    """One layer: attention and MLP, each with a norm before and a residual connection around.

    A recurrence in place of attention keeps its name.
    """

    def __init__(self, config: ModelConfig, position_modules: list[nn.Module]):
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model)
        self.attention = make_mixer(config, position_modules)
        self.mlp_norm = RMSNorm(config.d_model)
        self.mlp = MLP(config)

    def forward(self, x_BTC: Tensor, tables: AttentionTables, last: int | None = None) -> Tensor:
        """Return the layer's output at every position, or at the `last` ones only."""
        attended_BTC = self.attention(self.attention_norm(x_BTC), tables, last)
        x_BTC = x_BTC[:, -attended_BTC.shape[1] :] + attended_BTC
        return x_BTC + self.mlp(self.mlp_norm(x_BTC))


def belongs_to_scheme(name: str) -> bool:
    """Return True for the name of a GPT parameter that belongs to the positional scheme."""
    return name.startswith("pe.") or ".order." in name


class GPT(nn.Module):
    """The network.

    Args:
        config: Dimensions of the network.
        vocab_size: Tokens in the vocabulary.
        pe: Positional scheme.

    Raises:
        PosextError: n_heads does not divide d_model, or n_kv_heads does not divide n_heads.
    """

    def __init__(self, config: ModelConfig, vocab_size: int, pe: PositionalEncoding):
        super().__init__()
        self.config = config
        self.pe = pe
        self.embedding = nn.Embedding(vocab_size, config.d_model)
        self.schemes = pe.layers(config.n_layers)
        self.blocks = nn.ModuleList(
            Block(config, scheme.make_layer_modules()) for scheme in self.schemes
        )
        self.norm = RMSNorm(config.d_model)
        if not config.tied_embeddings:
            self.head = nn.Linear(config.d_model, vocab_size, bias=False)
        self.summed_nll = summed_nll
        self.compiled = False
        self.activation_checkpointing = False

    def initialize(self, seed: int) -> "GPT":
        """Draw initial weights from Normal(0, 0.02), a function of the seed alone.

        Matrices that write to the residual stream are divided by sqrt(2 n_layers) (GPT-2). Token
        embeddings take the `embedding_std` of the scheme, or of the config, if there is one. The
        scheme's own parameters keep their values, so that for one seed all schemes start from the
        same network. Convolutions and decays of a recurrence draw their own.

        Returns:
            The network itself.
        """
        generator = torch.Generator().manual_seed(stream_seed(seed, "network"))
        for name, parameter in self.named_parameters():
            if belongs_to_scheme(name) or parameter.ndim != 2:
                continue
            is_residual_output = name.endswith(("attention.out.weight", "mlp.down.weight"))
            depth_scale = (2 * self.config.n_layers) ** 0.5 if is_residual_output else 1.0
            std = INITIAL_STD / depth_scale
            if parameter is self.embedding.weight:
                std = self.pe.embedding_std or self.config.embedding_std or std
            nn.init.normal_(parameter, std=std, generator=generator)
        for module in self.modules():
            if isinstance(module, ShortConvolution | Decay):
                module.draw(generator)
        return self

    def compile_parts(self) -> "GPT":
        """Compile each block and the loss in place. Keys of the state dict do not change.

        One small graph serves all layers. Shapes are static, so that the computation at a length
        does not depend on the lengths before it (exact resume). All blocks share the compiled
        versions of one function, one for each kind of layer and length; beyond torch's limit the
        rest would run without compilation, so the limit is raised.

        Returns:
            The network itself.
        """
        dynamo = torch._dynamo.config
        dynamo.recompile_limit = max(dynamo.recompile_limit, RECOMPILE_LIMIT)
        for block in self.blocks:
            block.compile(dynamic=False)
        self.compiled = True
        self.summed_nll = torch.compile(summed_nll, dynamic=False)
        return self

    def forward(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor | None = None,
        *,
        last: int | None = None,
        documents_BT: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of targets, or logits without targets.

        Args:
            tokens_BT: Token ids.
            targets_BT: Next-token ids.
            last: Compute the last `last` positions only; None: all T.
            documents_BT: Number of the document of each token, which attends to its own document
                alone; None: a context is one document.

        Returns:
            Summed NLL of the targets in nats (scalar), or logits (B, `last` or T, V); float32.
        """
        x_BTC = self.norm(self.hidden(tokens_BT, last, documents_BT))
        if targets_BT is not None:
            return self.summed_nll(x_BTC, self.output_matrix, targets_BT, self.config.logit_softcap)
        # Half-precision logits would round away 1e-2 nats.
        with torch.autocast(x_BTC.device.type, enabled=False):
            logits_BTV = x_BTC.float() @ self.output_matrix.float().T
            return capped(logits_BTV, self.config.logit_softcap)

    def target_nll(self, tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
        """Compute the NLL of the last K positions without the logits of the whole context.

        Args:
            tokens_BT: Token ids.
            labels_BK: Labels of the last K positions.

        Returns:
            NLL in nats, float32 (B, K).
        """
        x_BKC = self.norm(self.hidden(tokens_BT, labels_BK.shape[1]))
        return chunked_nll(x_BKC, self.output_matrix, labels_BK, self.config.logit_softcap)

    @property
    def output_matrix(self) -> Tensor:
        """The matrix (V, C) that makes logits."""
        return self.embedding.weight if self.config.tied_embeddings else self.head.weight

    def hidden(
        self,
        tokens_BT: Tensor,
        last: int | None = None,
        documents_BT: Tensor | None = None,
    ) -> Tensor:
        """Return the output of the last layer: (B, `last` or T, C).

        With `last`, the final layer computes no other positions beyond their keys and values.
        """
        positions_T = self.pe.token_positions(tokens_BT)
        x_BTC = self.pe.embed(self.embedding(tokens_BT), positions_T)
        tables = {
            scheme: prepare(
                scheme.tables(positions_T)._replace(documents_BT=documents_BT), self.compiled
            )
            for scheme in dict.fromkeys(self.schemes)
        }
        *earlier_layers, (final_block, final_scheme) = zip(self.blocks, self.schemes, strict=True)
        for block, scheme in earlier_layers:
            x_BTC = self.run_block(block, x_BTC, tables[scheme])
        return self.run_block(final_block, x_BTC, tables[final_scheme], last)

    def run_block(
        self, block: nn.Module, x_BTC: Tensor, tables: AttentionTables, last: int | None = None
    ) -> Tensor:
        """Run a layer; with activation checkpointing, again in the backward pass."""
        if self.activation_checkpointing and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(block, x_BTC, tables, last, use_reentrant=False))
        return block(x_BTC, tables, last)

    @torch.no_grad()
    def observe(self, tokens_BT: Tensor, observer: Observer) -> None:
        """Read a batch of tokens while an observer looks at attention and hidden states.

        Raises PosextError for a recurrence, which has no attention.
        """
        if self.config.kind != TRANSFORMER:
            raise PosextError(f"model.kind={self.config.kind} has no attention to observe")
        with observed(self.blocks, observer):
            self.hidden(tokens_BT)

    @torch.no_grad()
    def logit_multiplier(self, length: int) -> float:
        """Return the factor on the last query's logits, in a context of `length` tokens.

        It is that of `queries_and_keys.logit_multiplier`, the mean over heads and layers. NaN for a
        recurrence, which has no such logits.
        """
        if self.config.kind != TRANSFORMER:
            return math.nan
        positions_T = self.pe.positions(length, self.embedding.weight.device)
        zeros_BTC = self.embedding.weight.new_zeros(1, length, self.config.d_model)
        total = 0.0
        for block, scheme in zip(self.blocks, self.schemes, strict=True):
            tables = scheme.tables(positions_T)
            for module in cast(Attention, cast(Block, block).attention).order:
                tables = module(zeros_BTC, tables)
            total += float(logit_multiplier(tables)[..., -1].mean())
        return total / len(self.schemes)

    def n_parameters(self) -> int:
        """Return the number of all parameters, the scheme's included."""
        return sum(parameter.numel() for parameter in self.parameters())
