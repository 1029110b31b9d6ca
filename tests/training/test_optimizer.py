"""Learning rates over the steps, and the parameters that decay."""

import pytest
import torch

from posext.config import ModelConfig, MuonConfig, OptimizerConfig
from posext.model.gpt import GPT
from posext.pe import build
from posext.training.optimizer import lr_at, make_optimizers, set_learning_rate


def test_lr_at_warms_up_then_falls_along_a_cosine():
    peak = 2.0
    config = OptimizerConfig(warmup_share=0.1, final_share=0.1)
    rates = [lr_at(step, 100, peak, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == max(rates) == peak
    assert rates[55] == pytest.approx(peak * 0.55)  # half way down
    assert rates[100] == pytest.approx(peak * 0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_lr_at_of_wsd_is_flat_until_its_decay():
    config = OptimizerConfig(schedule="wsd", warmup_share=0.1, decay_share=0.2, final_share=0.0)
    rates = [lr_at(step, 100, 1.0, config) for step in range(101)]
    assert set(rates[10:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)


def network(scheme: str) -> GPT:
    config = ModelConfig("test", n_layers=3, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
    pe = build(scheme, head_dim=16, n_heads=4, d_model=64, train_length=128)
    return GPT(config, 200, pe).initialize(0).eval()


def test_make_optimizers_of_adamw_decay_matrices_alone():
    model = network("learned")
    (optimizer,) = make_optimizers(model, OptimizerConfig(), 1e-3)
    decayed, rest = optimizer.param_groups
    assert decayed["weight_decay"] == 0.1
    assert {parameter.ndim for parameter in decayed["params"]} == {2}
    assert rest["weight_decay"] == 0
    assert any(parameter is model.pe.table_TC for parameter in rest["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("scheme", ["rope", "fire", "cable", "learned"])
def test_make_optimizers_of_muon_share_out_every_parameter(scheme):
    model = network(scheme)
    adamw, muon = make_optimizers(model, MuonConfig(), 1e-3)
    by_muon = {id(parameter) for group in muon.param_groups for parameter in group["params"]}
    by_adamw = {id(parameter) for group in adamw.param_groups for parameter in group["params"]}
    assert not by_muon & by_adamw
    assert by_muon | by_adamw == {id(parameter) for parameter in model.parameters()}
    blocks = [(block.attention.qkv, block.attention.out) for block in model.blocks]
    blocks += [(block.mlp.gate_up, block.mlp.down) for block in model.blocks]
    assert by_muon == {id(linear.weight) for linears in blocks for linear in linears}


def test_set_learning_rate_keeps_that_of_matrices_in_proportion():
    optimizers = make_optimizers(network("rope"), MuonConfig(matrix_learning_rate=0.05), 0.02)
    set_learning_rate(optimizers, 0.01)
    adamw, muon = optimizers
    assert [group["lr"] for group in adamw.param_groups] == [0.01, 0.01]
    assert [group["lr"] for group in muon.param_groups] == [0.025]


def test_muon_step_is_near_orthogonal():
    """Every singular value of 192 x 64 moves by about the same: lr sqrt(192 / 64)."""
    torch.manual_seed(0)
    model = network("rope")
    weight = model.blocks[0].attention.qkv.weight  # (192, 64)
    before = weight.detach().clone()
    scales = torch.logspace(0, -1, 64)
    weight.grad = torch.randn(192, 64) * scales
    config = MuonConfig(weight_decay=0.0, matrix_learning_rate=0.03)
    optimizers = make_optimizers(model, config, 0.03)
    set_learning_rate(optimizers, 0.01)
    optimizers[1].step()
    moved = torch.linalg.svdvals((before - weight.detach()).double()) / (0.01 * 3**0.5)
    assert 0.6 < moved.min() <= moved.max() < 1.3
    assert (weight.grad * (before - weight.detach())).sum() > 0
