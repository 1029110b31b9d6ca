"""Losses, gradients and runs on a GPU against those on a CPU; skipped without a GPU."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from posext.analysis import curves
from posext.config import ModelConfig
from posext.model import attention, flex
from posext.model.block_mask import BLOCK
from posext.model.gpt import GPT
from posext.pe import build, names
from posext.runs import tracking
from posext.utils.memory import PeakMemory

if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)
DEVICE = "cuda"
CONFIG = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
# a GPU's fused attention or dense scores; beyond 1,024 tokens FlexAttention, or chunks of queries
LENGTHS = [128, 300, 1200]


def network(name: str, **modifiers) -> GPT:
    torch.manual_seed(0)  # for the parameters of the scheme
    settings = {"max_length": LENGTHS[-1]} if name == "learned" else {}
    pe = build(name, head_dim=16, n_heads=4, d_model=64, train_length=128, **settings, **modifiers)
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


# what FlexAttention takes: biases by distance and pair, windows of one view and of several, sinks
FLEX = [
    ("t5", {}),
    ("kerple_log", {}),
    ("fire", {}),
    ("fire_s", {}),
    ("sandwich", {}),
    ("gpt_oss", {}),
    ("t5", {"position_ids": "randomized"}),
    ("t5", {"window": "sliding", "sink": "learned"}),
    ("fox", {"window": "sliding", "sink": "learned"}),
    ("rope", {"window": "chunk"}),
    ("rope", {"window": "rerope", "sink": "off_by_one"}),
    ("rope", {"window": "dca"}),
]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize(("name", "modifiers"), FLEX)
@pytest.mark.parametrize("length", [128, 256, 300])
def test_cuda_compiled_gradients_equal_those_of_a_cpu(monkeypatch, name, modifiers, length):
    """FlexAttention in compiled layers, with documents, against dense scores."""
    documents = torch.arange(length)[None] // torch.tensor([[50], [length]])
    learns = name in {"t5", "kerple_log", "fire", "fire_s", "fox"}
    refused = learns and ("sink" in modifiers or length % BLOCK)
    traced = []
    attend_flex = flex.attend_flex

    def recorded(*arguments):
        traced.append(name)
        return attend_flex(*arguments)

    monkeypatch.setattr(flex, "attend_flex", recorded)
    results = []
    for device in ("cpu", DEVICE):
        torch.compiler.reset()
        model, windows = network(name, **modifiers).to(device), tokens(length).to(device)
        if device == DEVICE:
            model.compile_parts()
        inputs, targets = windows[:, :-1], windows[:, 1:]
        loss = model(inputs, targets, documents_BT=documents.to(device)) / targets.numel()
        loss.backward()
        gradients = [p.grad.cpu() for p in model.parameters() if p.grad is not None]
        results.append([loss.detach().cpu(), *gradients])
    assert bool(traced) is not bool(refused)
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("name", "modifiers"), FLEX)
def test_cuda_long_contexts_equal_those_of_a_cpu(name, modifiers):
    """FlexAttention compiled by itself, where the network is not."""
    on_cpu, windows = network(name, **modifiers).eval(), tokens(1200)
    on_gpu = deepcopy(on_cpu).to(DEVICE)
    with torch.inference_mode():
        exact = on_cpu(windows[:, :-1])
        ours = on_gpu(windows[:, :-1].to(DEVICE))
    torch.testing.assert_close(ours.cpu(), exact, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("modifiers", [{}, {"window": "sliding"}, {"window": "rerope"}])
def test_cuda_flex_takes_memory_linear_in_the_length(modifiers):
    """All scores of four heads at 16,384 tokens would take 4 GiB."""
    length = 16_384
    name = "rope" if modifiers else "t5"
    pe = build(name, head_dim=16, n_heads=4, d_model=64, train_length=128, **modifiers)
    tables = attention.prepare(pe.to(DEVICE).tables(torch.arange(length, device=DEVICE)))
    qkv = torch.randn(3, 1, 4, length, 16, device=DEVICE, dtype=torch.bfloat16)
    qkv.requires_grad_()
    attention.attend(*qkv, tables).sum().backward()
    with PeakMemory(torch.device(DEVICE)) as peak:
        attention.attend(*qkv, tables).sum().backward()
    assert peak.bytes < 200 * 2**20


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("name", ["t5", "kerple_log", "fire"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_flex_of_a_bias_fits_shared_memory(name, head_dim, dtype):
    pe = build(name, head_dim=head_dim, n_heads=4, d_model=4 * head_dim, train_length=128)
    tables = attention.prepare(pe.to(DEVICE).tables(torch.arange(2048, device=DEVICE)))
    qkv = torch.randn(3, 1, 4, 2048, head_dim, device=DEVICE, dtype=dtype, requires_grad=True)
    assert tables.block_masks
    attention.attend(*qkv, tables).sum().backward()
    assert qkv.grad.isfinite().all()


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
