"""Networks with a recurrence in place of attention: causality, last positions, settings."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from posext.analysis import curves
from posext.config import ModelConfig, MuonConfig, OptimizerConfig
from posext.hf.export import export
from posext.model.gpt import GPT
from posext.model.recurrence import STEPS, Decay, ShortConvolution
from posext.pe import build
from posext.runs import tracking
from posext.runs.run import load_run
from posext.training.optimizer import make_optimizers, set_learning_rate
from posext.utils.errors import PosextError

CONFIG = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
TOKENS = torch.randint(200, (2, 150), generator=torch.Generator().manual_seed(0))
KINDS = ["gated_deltanet", "mamba2"]
each_kind = pytest.mark.parametrize("kind", KINDS)


def gpt(kind: str, seed: int = 0, **settings) -> GPT:
    config = replace(CONFIG, kind=kind, **settings)
    shape = {"head_dim": 16, "n_heads": 4, "d_model": config.d_model}
    return GPT(config, 200, build("none", **shape, train_length=128)).initialize(seed)


@each_kind
def test_logits_do_not_depend_on_later_tokens(kind):
    model = gpt(kind)
    changed = torch.cat((TOKENS[:, :70], TOKENS.flip(1)[:, 70:]), dim=1)
    with torch.no_grad():
        before, after = model(TOKENS)[:, :70], model(changed)[:, :70]
        torch.testing.assert_close(model(TOKENS[:, :70]), before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(before, after, atol=0, rtol=0)


@each_kind
def test_logits_depend_on_the_order_of_earlier_tokens(kind):
    model = gpt(kind).double()
    swapped = TOKENS[:, [1, 0, *range(2, 20)]]
    with torch.no_grad():
        difference = model(swapped, last=1) - model(TOKENS[:, :20], last=1)
    assert difference.abs().max() > 1e-5


@each_kind
def test_last_positions_equal_the_end_of_all(kind):
    model = gpt(kind)
    with torch.no_grad():
        torch.testing.assert_close(
            model(TOKENS, last=7), model(TOKENS)[:, -7:], atol=1e-6, rtol=1e-5
        )


def loss_of(model: GPT) -> float:
    """The loss in nats, after its backward pass."""
    loss = model(TOKENS[:, :-1], TOKENS[:, 1:]) / TOKENS[:, 1:].numel()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    return loss.item()


@each_kind
def test_loss_in_bf16_is_near_that_in_float32(kind):
    exact = loss_of(gpt(kind))
    with torch.autocast("cpu", torch.bfloat16):
        assert loss_of(gpt(kind)) == pytest.approx(exact, abs=1e-2)


@each_kind
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's tracing reads it
def test_compiled_loss_equals_the_plain_one(kind):
    exact = loss_of(gpt(kind))
    model = gpt(kind)
    for block in model.blocks:
        block.compile(dynamic=False, backend="aot_eager")
    assert loss_of(model) == pytest.approx(exact, abs=1e-5)
    torch.compiler.reset()


@each_kind
def test_parameters_are_about_those_of_attention(kind):
    shape = {"d_model": 256, "d_ff": 688}
    recurrent, attention = (gpt(k, **shape).n_parameters() for k in (kind, "transformer"))
    assert attention < recurrent < 1.01 * attention


@each_kind
def test_initial_values_are_a_function_of_the_seed(kind):
    first, again, other = (gpt(kind, seed).state_dict() for seed in (0, 0, 1))
    assert all(again[key].equal(value) for key, value in first.items())
    drawn = ("convolution.weight", "log_rate", "step_bias")
    assert not any(other[k].equal(v) for k, v in first.items() if k.endswith(drawn))
    for module in gpt(kind).modules():
        if isinstance(module, ShortConvolution):
            assert 0.45 < module.weight.abs().max() <= 0.5
        if isinstance(module, Decay):
            steps, log_decays = module(torch.zeros(1, 1, 4))
            assert STEPS[0] < steps.min() < steps.max() < STEPS[1]
            assert -16 <= (log_decays / steps).min() < (log_decays / steps).max() <= 0


@each_kind
def test_muon_takes_the_matrices_and_no_convolution(kind):
    model = gpt(kind)
    _, muon = make_optimizers(model, MuonConfig(), 1e-3)
    names = {id(p): name for name, p in model.named_parameters()}
    trained = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert trained == {n for n, p in model.named_parameters() if "blocks" in n and p.ndim == 2}
    assert not any("convolution" in name for name in trained)


@each_kind
def test_training_lowers_the_loss(kind):
    model = gpt(kind)
    (optimizer,) = make_optimizers(model, OptimizerConfig(), 3e-3)
    set_learning_rate([optimizer], 3e-3)
    losses = []
    for _ in range(40):
        losses.append(loss_of(model))
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] == pytest.approx(math.log(200), abs=0.1)
    assert losses[-1] < losses[0] - 1


@each_kind
def test_run_names_its_kind_and_learns(command, small, kind):
    typed = ["+pe=none", f"model.kind={kind}", *small, "steps=40", "seed=3"]
    code, out, err = command("train", *typed)
    assert code == 0, err
    assert f"\n{kind} " in out  # the row of the printed table
    (folder,) = Path("results/runs").iterdir()
    assert folder.name.startswith(f"{kind}-nano-16-seed3")
    assert "kind" not in folder.name
    rows = curves.read_curves(folder / "curves.csv")
    assert set(rows.scheme) == {kind}
    assert rows.nll.notna().all()
    metrics = tracking.read_metrics(folder / "metrics.jsonl")
    losses = [row["loss"] for row in metrics if "loss" in row]
    assert losses[-1] < losses[0] - 0.5
    with pytest.raises(PosextError, match=f"no form of {kind} as set"):
        export(load_run(folder), Path("exported"))
    for extension in ("+window=sliding", "+pe@extend=rope"):
        code, _, err = command("evaluate", f"run={folder}", extension)
        assert code == 2
        assert f"model.kind={kind} has no attention for" in err


@each_kind
@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (["+pe=rope"], "pe=rope"),
        (["+pe=none", "+window=sliding", "+sink=learned"], "window=sliding sink=learned"),
        (["+pe=none", "model.n_kv_heads=2"], "model.n_kv_heads"),
    ],
)
def test_choices_of_attention_are_refused(command, small, kind, typed, named):
    code, _, err = command("train", *typed, f"model.kind={kind}", *small)
    assert code == 2
    assert f"model.kind={kind} has no attention for {named} to act on; it goes with +pe=none" in err
    assert not Path("results").exists()


def test_unknown_kind_is_refused(command, small):
    code, _, err = command("train", "+pe=none", "model.kind=lstm", *small)
    assert code == 2
    assert f"model.kind must be one of transformer, {', '.join(KINDS)}, not 'lstm'" in err
