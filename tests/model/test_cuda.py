"""Losses, gradients and runs on a GPU against those on a CPU; skipped without a GPU."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from posext.analysis import curves
from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.pe import build, names
from posext.runs import tracking

if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)
DEVICE = "cuda"
CONFIG = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
LENGTHS = [128, 300, 1200]  # a GPU's fused attention, and beyond it a chunk of queries at a time


def network(name: str) -> GPT:
    torch.manual_seed(0)  # for the parameters of the scheme
    settings = {"max_length": LENGTHS[-1]} if name == "learned" else {}
    pe = build(name, head_dim=16, n_heads=4, d_model=64, train_length=128, **settings)
    pe.read_vocabulary("." if index % 20 == 0 else "word" for index in range(200))
    return GPT(CONFIG, 200, pe).initialize(0)


def tokens(length: int) -> torch.Tensor:
    return torch.randint(200, (2, length + 1), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", names())
def test_cuda_loss_and_gradients_equal_those_of_a_cpu(name):
    results = []
    for device in ("cpu", DEVICE):
        model, windows = network(name).to(device), tokens(LENGTHS[0]).to(device)
        loss = model(windows[:, :-1], windows[:, 1:]) / windows[:, 1:].numel()
        loss.backward()
        gradients = [p.grad.cpu() for p in model.parameters() if p.grad is not None]
        results.append([loss.detach().cpu(), *gradients])
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("length", LENGTHS)
def test_cuda_target_nll_equals_that_of_a_cpu(name, length):
    on_cpu, windows = network(name).eval(), tokens(length)
    on_gpu = deepcopy(on_cpu).to(DEVICE)
    with torch.inference_mode():
        exact = on_cpu.target_nll(windows[:, :-1], windows[:, -32:])
        in_fp32 = on_gpu.target_nll(windows[:, :-1].to(DEVICE), windows[:, -32:].to(DEVICE))
        with torch.autocast(DEVICE, torch.bfloat16):
            in_bf16 = on_gpu.target_nll(windows[:, :-1].to(DEVICE), windows[:, -32:].to(DEVICE))
    torch.testing.assert_close(in_fp32.cpu(), exact, atol=1e-4, rtol=1e-4)
    assert in_bf16.dtype == torch.float32
    torch.testing.assert_close(in_bf16.cpu(), exact, atol=5e-2, rtol=5e-2)


def test_train_on_cuda_compiled_in_bf16_learns(command, small):
    typed = [
        "+pe=yarn",
        *small,
        "length=progressive",
        "compile=true",
        "precision=bf16",
        "steps=40",
        "name=mine",
    ]
    assert command("train", *typed)[0] == 0
    folder = Path("results/runs/mine")
    losses = [
        row["loss"] for row in tracking.read_metrics(folder / "metrics.jsonl") if "loss" in row
    ]
    assert losses[-1] < losses[0] - 0.5
    measured = curves.read_curves(folder / "curves.csv")
    assert measured.nll.notna().all()
    assert (measured.peak_memory_bytes > 0).all()
