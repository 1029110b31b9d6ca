"""Biases and content-dependent schemes against x-transformers and flash-linear-attention.

An oracle gets parameters and inputs, never a table of this code.
"""

import math
import sys
from types import ModuleType

import pytest
import torch
from helpers.oracles import naive
from x_transformers.x_transformers import (
    AlibiPositionalBias,
    CoPE,
    DataDependentAlibi,
    PolarEmbedding,
    apply_polar_pos_emb,
)

from posext.config import ModelConfig
from posext.model import attention
from posext.model.attention import attend, prepare
from posext.model.gpt import GPT
from posext.pe import build, path
from posext.pe.tables import AttentionTables

SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": 16}
LENGTH = 24


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def random_qkv(generator: torch.Generator, scale: float = 2.0) -> list[torch.Tensor]:
    return [scale * torch.randn(2, 4, LENGTH, 8, generator=generator) for _ in range(3)]


def attended(
    generator: torch.Generator, name: str, q, k, v, x=None, **settings
) -> tuple[torch.Tensor, *tuple[torch.nn.Module, ...]]:
    """The output of attention under a scheme with random parameters, and the scheme's modules."""
    scheme = build(name, **SHAPE, **settings)
    modules = torch.nn.ModuleList(scheme.make_layer_modules())
    with torch.no_grad():
        for parameter in modules.parameters():
            parameter.normal_(generator=generator)
        tables = prepare(scheme.tables(torch.arange(LENGTH)))
        for module in modules:
            tables = module(x, tables)
        return attend(q, k, v, tables), *modules


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8, 12, 20])
def test_alibi_slopes_equal_those_of_x_transformers(heads):
    theirs = torch.tensor(AlibiPositionalBias._get_slopes(heads))
    scheme = build("alibi", head_dim=8, n_heads=heads, d_model=8 * heads, train_length=16)
    values = scheme.bias(torch.arange(3)).values_HK
    torch.testing.assert_close((values[:, 1] - values[:, 0]).float(), theirs)


def test_cope_equals_that_of_x_transformers(generator):
    q, k, v = random_qkv(generator)
    ours, module = attended(generator, "cope", q, k, v, max_position=6)
    theirs = CoPE(dim=8, heads=4, max_pos=6)
    theirs.pos_emb.data.copy_(module.table_PD)
    hidden = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    # as in the paper's listing
    logits = (q @ k.transpose(-1, -2) * 8**-0.5).masked_fill(hidden, float("-inf"))
    exact = (logits + theirs(q, logits)).softmax(-1) @ v
    torch.testing.assert_close(ours, exact, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("remainder", ["self", "none"])
def test_stick_breaking_equals_that_of_flash_linear_attention(generator, remainder):
    q, k, v = random_qkv(generator)
    ours, _ = attended(generator, "stick_breaking", q, k, v, remainder=remainder)
    out, rest = naive("stickbreaking_attn").naive_stickbreaking_attn(
        *(x.double().transpose(1, 2) for x in (q, k, v))
    )
    exact = out + rest[..., None] * v.double().transpose(1, 2) if remainder == "self" else out
    torch.testing.assert_close(ours.double(), exact.transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_fox_equals_that_of_flash_linear_attention(generator):
    q, k, v = random_qkv(generator)
    x = torch.randn(2, LENGTH, 32, generator=generator)
    ours, gate = attended(generator, "fox", q, k, v, x)
    logs = torch.nn.functional.logsigmoid(x @ gate.weight_HC.T + gate.bias_H)
    exact = naive("forgetting_attn").naive_forgetting_attn(
        *(y.transpose(1, 2) for y in (q, k, v)), logs
    )
    torch.testing.assert_close(ours, exact.transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_fox_bias_equals_that_of_x_transformers(generator):
    x = torch.randn(2, LENGTH, 32, generator=generator)
    _, gate = attended(generator, "fox", *random_qkv(generator), x)
    theirs = DataDependentAlibi(dim=32, heads=4)
    linear = theirs.to_forget_gates[0]
    linear.weight.data.copy_(gate.weight_HC)
    linear.bias.data.copy_(gate.bias_H)
    keys = gate(x, AttentionTables(torch.arange(LENGTH))).bias.values_HK
    ours = (keys[..., None, :] - keys[..., None]).float()
    torch.testing.assert_close(ours, theirs(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dense", [256, 4])  # all scores at once; the fused kernel
def test_pope_equals_that_of_x_transformers(generator, monkeypatch, dense):
    monkeypatch.setattr(attention, "EXPLICIT_LENGTH", dense)
    q, k, v = random_qkv(generator)
    ours, module = attended(generator, "pope", q, k, v, torch.zeros(2, LENGTH, 32))
    theirs = PolarEmbedding(dim=8, heads=4)
    # Theirs is clamped to this period.
    theirs.learned_bias.data.copy_(module.shift_HD[:, None] % (2 * math.pi) - 2 * math.pi)
    freqs, bias = theirs(torch.arange(LENGTH))
    scores = apply_polar_pos_emb(q, freqs) @ apply_polar_pos_emb(k, freqs + bias).mT * 8**-0.5
    hidden = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    exact = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v
    torch.testing.assert_close(ours, exact, atol=1e-5, rtol=1e-4)


def test_wall_equals_that_of_flash_linear_attention(generator, monkeypatch):
    constant, cumsum = ModuleType("constant"), ModuleType("cumsum")
    constant.RCP_LN2 = 1 / math.log(2)
    cumsum.chunk_global_cumsum = lambda g, cu_seqlens, scale: g.cumsum(1) * scale
    for module in (constant, cumsum):  # their own need triton
        monkeypatch.setitem(sys.modules, f"fla.ops.utils.{module.__name__}", module)
    q, k, v = random_qkv(generator)
    x = torch.randn(2, LENGTH, 32, generator=generator)
    ours, gates = attended(generator, "wall", q, k, v, x)
    logits = torch.einsum("btc,hdc->bthd", x, gates.weight_HDC) + gates.bias_HD
    exact = naive("wall_attn").naive_wall_attn(
        *(y.transpose(1, 2) for y in (q, k, v)),
        torch.nn.functional.logsigmoid(logits),
        scale=8**-0.5,
    )
    torch.testing.assert_close(ours, exact.transpose(1, 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["path", "path_fox"])
def test_path_equals_that_of_flash_linear_attention(generator, monkeypatch, name):
    monkeypatch.setattr(path, "BLOCK", 10)  # of 24 tokens
    q, k, v = random_qkv(generator)
    x = torch.randn(2, LENGTH, 32, generator=generator)
    ours, module, *forget = attended(generator, name, q, k, v, x)
    w = module.convolve(module.project(x).mT)[..., :LENGTH]
    w = torch.nn.functional.silu(w).mT.unflatten(2, (4, 8))
    beta = 2 * module.beta(x).sigmoid()
    gates = torch.zeros(2, LENGTH, 4)
    for gate in forget:
        logs = torch.nn.functional.logsigmoid(x @ gate.weight_HC.T + gate.bias_H)
        gates = logs * 8**0.5  # theirs are scaled as the scores are
    exact = naive("path_attn").naive_path_attn(
        *(y.transpose(1, 2) for y in (q, k, v)),
        w / w.norm(dim=-1, keepdim=True),
        beta,
        gates,
        scale=8**-0.5,
        chunk_size=16,
    )
    torch.testing.assert_close(ours, exact.transpose(1, 2), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "name", ["stick_breaking", "cope", "dape", "pope", "wall", "path_fox", "grape_a"]
)
def test_gradients_without_softmax_reach_every_parameter(generator, name):
    config = ModelConfig("test", n_layers=2, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3)
    torch.manual_seed(0)
    model = GPT(config, 50, build(name, **SHAPE)).initialize(0)
    tokens = torch.randint(50, (2, LENGTH + 1), generator=generator)
    model(tokens[:, :-1], tokens[:, 1:]).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key
