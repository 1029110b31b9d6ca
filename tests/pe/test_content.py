"""Biases from the content, against the sum over the tokens between query and key."""

import math

import pytest
import torch

from posext.config import ModelConfig, OptimizerConfig
from posext.model.gpt import GPT
from posext.pe import build
from posext.pe.tables import AttentionTables
from posext.training.optimizer import make_optimizers

SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": 16}
CONFIG = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3)
X = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(0))
NO_TABLES = AttentionTables(torch.arange(9))


@pytest.mark.parametrize("name", ["fox", "cable"])
def test_content_bias_sums_the_gates_between_two_tokens(name):
    module = build(name, **SHAPE).make_layer_module().requires_grad_(False)
    bias = module(X, NO_TABLES).bias.values_HK
    for b, h, n, m in ((0, 0, 8, 0), (1, 3, 5, 4), (0, 2, 7, 7), (1, 1, 4, 1)):
        total = 0.0
        for token in range(m + 1, n + 1):
            logit = float(X[b, token] @ module.weight_HC[h])
            exponent = -logit - float(module.bias_H[h]) if name == "fox" else logit
            total += math.log(1 / (1 + math.exp(exponent)))
        assert float(bias[b, h, m] - bias[b, h, n]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(("name", "half_life"), [("fox", 1), ("fox_open", 38)])
def test_gates_of_fox_start_with_a_half_life(name, half_life):
    module = build(name, **SHAPE).make_layer_module().requires_grad_(False)
    bias = module(torch.zeros_like(X), NO_TABLES).bias.values_HK
    of_one_token = float((bias[..., 1:] - bias[..., :-1]).mean())
    assert math.log(2) / of_one_token == pytest.approx(half_life, rel=0.01)


def test_cable_equals_fox_with_negated_gates():
    fox, cable = (
        build(name, **SHAPE).make_layer_module().requires_grad_(False) for name in ("fox", "cable")
    )
    fox.weight_HC.copy_(-cable.weight_HC)
    fox_bias = fox(X, NO_TABLES).bias.values_HK
    torch.testing.assert_close(fox_bias, cable(X, NO_TABLES).bias.values_HK)


def test_fox_gates_are_per_layer_and_do_not_decay():
    """The rest of the network starts as it does under RoPE."""
    fox = GPT(CONFIG, 50, build("fox", **SHAPE)).initialize(0)
    rope = GPT(CONFIG, 50, build("rope", **SHAPE)).initialize(0).state_dict()
    gates = [name for name in fox.state_dict() if ".order." in name]
    assert len(gates) == 2 * CONFIG.n_layers
    assert all(fox.state_dict()[name].equal(value) for name, value in rope.items())
    (optimizer,) = make_optimizers(fox, OptimizerConfig(), 1e-3)
    undecayed = {id(p) for p in optimizer.param_groups[1]["params"]}
    assert all(id(dict(fox.named_parameters())[name]) in undecayed for name in gates)
