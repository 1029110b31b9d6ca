"""Learning rates over the steps, and the parameters that decay."""

import pytest

from posext.config import ModelConfig, OptimizerConfig
from posext.model.gpt import GPT
from posext.pe import build
from posext.training.optimizer import adamw, lr_at


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


def test_adamw_decays_matrices_alone():
    config = ModelConfig("test", n_layers=3, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
    pe = build("learned", head_dim=16, n_heads=4, d_model=64, train_length=128)
    model = GPT(config, 200, pe).initialize(0).eval()
    decayed, rest = adamw(model, 1e-3, OptimizerConfig()).param_groups
    assert decayed["weight_decay"] == 0.1
    assert {parameter.ndim for parameter in decayed["params"]} == {2}
    assert rest["weight_decay"] == 0
    assert any(parameter is model.pe.table_TC for parameter in rest["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(list(model.parameters()))
