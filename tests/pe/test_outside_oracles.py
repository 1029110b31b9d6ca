"""Biases and content-dependent schemes against other people's implementations, which get parameters and inputs only."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from x_transformers.x_transformers import AlibiPositionalBias, CoPE, DataDependentAlibi

from posext.config import ModelConfig
from posext.model.attention import attend, prepare
from posext.model.gpt import GPT
from posext.pe import build
from posext.pe.tables import AttentionTables

SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": 16}
GENERATOR = torch.Generator().manual_seed(0)
LENGTH = 24


def naive(name: str) -> ModuleType:
    """A reference of flash-linear-attention, by its file: the package itself asks for triton."""
    root = importlib.util.find_spec("fla").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location(name, Path(root) / "ops" / name / "naive.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def qkv(scale: float = 2.0) -> list[torch.Tensor]:
    return [scale * torch.randn(2, 4, LENGTH, 8, generator=GENERATOR) for _ in range(3)]


def attended(name: str, q, k, v, x=None, **settings) -> tuple[torch.Tensor, torch.nn.Module]:
    """What a scheme's layer makes of queries, keys and values; its module."""
    scheme = build(name, **SHAPE, **settings)
    (module,) = scheme.make_layer_modules()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=GENERATOR)
        tables = module(x, prepare(scheme.tables(torch.arange(LENGTH))))
        return attend(q, k, v, tables), module


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8, 12, 20])
def test_alibi_slopes_are_those_of_x_transformers(heads):
    theirs = torch.tensor(AlibiPositionalBias._get_slopes(heads))
    scheme = build("alibi", head_dim=8, n_heads=heads, d_model=8 * heads, train_length=16)
    values = scheme.bias(torch.arange(3)).values_HK
    torch.testing.assert_close((values[:, 1] - values[:, 0]).float(), theirs)


def test_the_contextual_positions_of_cope_are_those_of_x_transformers():
    q, k, v = qkv()
    mine, module = attended("cope", q, k, v, max_position=6)
    theirs = CoPE(dim=8, heads=4, max_pos=6)
    theirs.pos_emb.data.copy_(module.table_PD)
    hidden = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    logits = (q @ k.transpose(-1, -2) * 8**-0.5).masked_fill(
        hidden, float("-inf")
    )  # as in the paper's listing
    exact = (logits + theirs(q, logits)).softmax(-1) @ v
    torch.testing.assert_close(mine, exact, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("remainder", ["self", "none"])
def test_stick_breaking_is_that_of_flash_linear_attention(remainder):
    q, k, v = qkv()
    mine, _ = attended("stick_breaking", q, k, v, remainder=remainder)
    out, rest = naive("stickbreaking_attn").naive_stickbreaking_attn(
        *(x.double().transpose(1, 2) for x in (q, k, v))
    )
    exact = out + rest[..., None] * v.double().transpose(1, 2) if remainder == "self" else out
    torch.testing.assert_close(mine.double(), exact.transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_forgetting_attention_is_that_of_flash_linear_attention_and_x_transformers():
    q, k, v = qkv()
    x = torch.randn(2, LENGTH, 32, generator=GENERATOR)
    mine, gate = attended("fox", q, k, v, x)
    logs = torch.nn.functional.logsigmoid(x @ gate.weight_HC.T + gate.bias_H)
    exact = naive("forgetting_attn").naive_forgetting_attn(
        *(y.transpose(1, 2) for y in (q, k, v)), logs
    )
    torch.testing.assert_close(mine, exact.transpose(1, 2), atol=1e-5, rtol=1e-4)
    theirs = DataDependentAlibi(dim=32, heads=4)
    linear = theirs.to_forget_gates[0]
    linear.weight.data.copy_(gate.weight_HC)
    linear.bias.data.copy_(gate.bias_H)
    keys = gate(x, AttentionTables(torch.arange(LENGTH))).bias.values_HK
    torch.testing.assert_close(
        (keys[..., None, :] - keys[..., None]).float(), theirs(x), atol=1e-4, rtol=1e-4
    )


def test_gradients_reach_all_that_takes_part_in_weights_that_are_no_softmax():
    """Their gradients reach queries, keys, values and their own parameters, and are finite."""
    config = ModelConfig(
        name="test", n_layers=2, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3
    )
    for name in ("stick_breaking", "cope", "dape"):
        model = GPT(config, 50, build(name, **SHAPE)).initialize(0)
        tokens = torch.randint(50, (2, LENGTH + 1), generator=GENERATOR)
        model(tokens[:, :-1], tokens[:, 1:]).backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None, (name, key)
            assert parameter.grad.isfinite().all(), (name, key)
            assert parameter.grad.abs().max() > 0, (name, key)
