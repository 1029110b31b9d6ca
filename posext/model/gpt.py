"""A small decoder-only transformer of the shape of Llama: pre-RMSNorm, SwiGLU, no biases, tied embeddings.

It holds a positional scheme and asks it for tables; it never asks which one it is.

Shape suffixes: B batch, T tokens, C model width, H heads, D head_dim, V vocabulary.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.config import ModelConfig
from posext.model.attention import attend, prepare
from posext.model.loss import chunked_nll
from posext.pe.base import PositionalEncoding
from posext.pe.tables import AttentionTables
from posext.utils.rng import stream_seed

NORM_EPSILON = 1e-5
STD = 0.02  # of initial weights
VERSIONS = 64  # compiled, of one function; torch keeps 8


class RMSNorm(nn.Module):
    """x / rms(x) times a gain (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_BTC: Tensor) -> Tensor:
        return F.rms_norm(x_BTC, self.weight.shape, self.weight, NORM_EPSILON)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig, order: list[nn.Module]):
        super().__init__()
        self.n_heads, self.order = config.n_heads, nn.ModuleList(order)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x_BTC: Tensor, tables: AttentionTables, last: int | None = None) -> Tensor:
        batch, length, width = x_BTC.shape
        for module in self.order:
            tables = module(x_BTC, tables)
        heads = self.qkv(x_BTC).view(batch, length, 3, self.n_heads, width // self.n_heads)
        q_BHTD, k_BHTD, v_BHTD = heads.permute(2, 0, 3, 1, 4).unbind(0)
        attended_BHTD = attend(q_BHTD, k_BHTD, v_BHTD, tables, last)
        return self.out(attended_BHTD.transpose(1, 2).reshape(batch, -1, width))


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202, equation 6)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_up = nn.Linear(config.d_model, 2 * config.d_ff, bias=False)
        self.down = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        gate, up = self.gate_up(x_BTC).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, config: ModelConfig, order: list[nn.Module]):
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(config.d_model), Attention(config, order)
        self.mlp_norm, self.mlp = RMSNorm(config.d_model), MLP(config)

    def forward(self, x_BTC: Tensor, tables: AttentionTables, last: int | None = None) -> Tensor:
        """What the layer leaves at every position, or at the `last` ones: (B, `last` or T, C)."""
        attended_BTC = self.attention(self.attention_norm(x_BTC), tables, last)
        x_BTC = x_BTC[:, -attended_BTC.shape[1] :] + attended_BTC
        return x_BTC + self.mlp(self.mlp_norm(x_BTC))


def summed_nll(x_BTC: Tensor, weight_VC: Tensor, targets_BT: Tensor) -> Tensor:
    """The negative log-likelihood of the targets, in nats, summed; float32 scalar."""
    logits = (x_BTC @ weight_VC.T).float()
    return F.cross_entropy(logits.flatten(0, 1), targets_BT.flatten(), reduction="sum")


def belongs_to_scheme(name: str) -> bool:
    """Whether a parameter of a GPT, by its name, is the positional scheme's own."""
    return name.startswith("pe.") or ".order." in name


class GPT(nn.Module):
    """The network. Raises PosextError where n_heads does not divide d_model."""

    def __init__(self, config: ModelConfig, vocab_size: int, pe: PositionalEncoding):
        super().__init__()
        config.head_dim()  # refuses a width that the heads do not divide
        self.config, self.pe = config, pe
        self.embedding = nn.Embedding(vocab_size, config.d_model)
        self.schemes = pe.layers(config.n_layers)
        self.blocks = nn.ModuleList(
            Block(config, scheme.make_layer_modules()) for scheme in self.schemes
        )
        self.norm = RMSNorm(config.d_model)
        self.summed_nll = summed_nll

    def initialize(self, seed: int) -> "GPT":
        """Normal(0, 0.02) everywhere, divided by sqrt(2 n_layers) where a layer writes to the residual stream (GPT-2).

        Token embeddings start at the scale that the scheme declares, if it does. The scheme's own parameters are left as it
        made them, so that for one seed all schemes start from the same network.
        """
        generator = torch.Generator().manual_seed(stream_seed(seed, "network"))
        for name, parameter in self.named_parameters():
            if belongs_to_scheme(name) or parameter.ndim < 2:
                continue
            writes = name.endswith(("attention.out.weight", "mlp.down.weight"))
            std = STD / (2 * self.config.n_layers) ** 0.5 if writes else STD
            if parameter is self.embedding.weight and self.pe.embedding_std is not None:
                std = self.pe.embedding_std
            nn.init.normal_(parameter, std=std, generator=generator)
        return self

    def compile_parts(self) -> "GPT":
        """Compile each block and the loss, in place: one small graph serves all layers, and state keys stay as they are.

        Shapes are static, so that what runs at a length depends on nothing that ran before it (exact resume). All blocks share
        one function's compiled versions, of which there are as many as kinds of layers times lengths; beyond a limit torch
        would go on without compiling.
        """
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VERSIONS)
        for block in self.blocks:
            block.compile(dynamic=False)
        self.summed_nll = torch.compile(summed_nll, dynamic=False)
        return self

    def forward(
        self, tokens_BT: Tensor, targets_BT: Tensor | None = None, *, last: int | None = None
    ) -> Tensor:
        """Given targets, their summed NLL (scalar, nats); otherwise logits (B, `last` or T, V), float32."""
        x_BTC = self.norm(self.hidden(tokens_BT, last))
        if targets_BT is not None:
            return self.summed_nll(x_BTC, self.embedding.weight, targets_BT)
        with torch.autocast(
            x_BTC.device.type, enabled=False
        ):  # half-precision logits would round away 1e-2 nats
            return x_BTC.float() @ self.embedding.weight.float().T

    def target_nll(self, tokens_BT: Tensor, labels_BK: Tensor) -> Tensor:
        """The NLL in nats of the labels of the last K positions: float32 (B, K). Never the logits of a whole context."""
        x_BKC = self.norm(self.hidden(tokens_BT, labels_BK.shape[1]))
        return chunked_nll(x_BKC, self.embedding.weight, labels_BK)

    def hidden(self, tokens_BT: Tensor, last: int | None = None) -> Tensor:
        """What the last layer leaves: (B, `last` or T, C). It computes no more positions than these, beyond keys and values."""
        positions_T = self.pe.positions(tokens_BT.shape[1], tokens_BT.device)
        x_BTC = self.pe.embed(self.embedding(tokens_BT), positions_T)
        tables = {
            scheme: prepare(scheme.tables(positions_T)) for scheme in dict.fromkeys(self.schemes)
        }
        *before, (final, scheme_of_final) = zip(self.blocks, self.schemes, strict=True)
        for block, scheme in before:
            x_BTC = block(x_BTC, tables[scheme])
        return final(x_BTC, tables[scheme_of_final], last)

    @torch.no_grad()
    def logit_multiplier(self, length: int) -> float:
        """What the last query's scores are multiplied by beyond 1/sqrt(head_dim), in a context of `length` tokens: the squared
        factor on cos and sin times the temperature, the mean over heads and layers.
        """
        positions_T, total = self.pe.positions(length, self.embedding.weight.device), 0.0
        nothing_BTC = self.embedding.weight.new_zeros(1, length, self.config.d_model)
        for block, scheme in zip(self.blocks, self.schemes, strict=True):
            tables = scheme.tables(positions_T)
            for module in cast(Block, block).attention.order:
                tables = module(nothing_BTC, tables)
            turned = (
                1.0
                if tables.rotation is None
                else float((tables.rotation.cos_TR**2 + tables.rotation.sin_TR**2)[-1, 0])
            )
            total += turned * (
                1.0 if tables.multiplier is None else float(tables.multiplier[..., -1].mean())
            )
        return total / len(self.schemes)

    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
