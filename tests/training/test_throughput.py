"""Floating-point operations by hand, and MFU on fake devices."""

from types import SimpleNamespace

import pytest
import torch

from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.pe import build
from posext.training.throughput import Throughput, peak_flops, throughput

VOCABULARY = 100
# by layer: 4 * 32^2 of attention, 3 * 32 * 48 of the MLP, two gains of 32; then the last gain
LAYER = 4 * 32**2 + 3 * 32 * 48 + 2 * 32
HEAD = VOCABULARY * 32


def network(**settings) -> GPT:
    config = ModelConfig(
        "test", n_layers=2, n_heads=4, d_model=32, d_ff=48, learning_rate=1e-3, **settings
    )
    return GPT(config, VOCABULARY, build("rope", head_dim=8, n_heads=4, d_model=32, train_length=8))


def test_throughput_is_six_operations_a_parameter_and_twelve_a_pair():
    costs = throughput(network(), network().config)
    parameters = 2 * LAYER + HEAD + 32
    assert costs.flops_per_token(64) == 6 * parameters + 12 * 2 * 32 * 64


def test_throughput_leaves_out_a_table_that_is_looked_up():
    model = network(tied_embeddings=False)
    assert model.n_parameters() == 2 * LAYER + 2 * HEAD + 32
    assert throughput(model, model.config).of_parameters == 6 * (2 * LAYER + HEAD + 32)


def test_throughput_of_frozen_parameters_has_no_gradient_of_theirs():
    model = network()
    for parameter in model.blocks.parameters():
        parameter.requires_grad_(False)
    assert throughput(model, model.config).of_parameters == 4 * 2 * LAYER + 6 * (HEAD + 32)


def test_throughput_of_a_recurrence_has_no_pairs():
    config = ModelConfig(
        "test", n_layers=2, n_heads=4, d_model=32, d_ff=48, learning_rate=1e-3, kind="mamba2"
    )
    pe = build("none", head_dim=8, n_heads=4, d_model=32, train_length=8)
    assert throughput(GPT(config, VOCABULARY, pe), config).of_context == 0


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA A10G", 70),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("Tesla T4", None),
        ("NVIDIA A1000 Laptop GPU", None),
    ],
)
def test_peak_flops_of_a_device_name(name, tera):
    assert peak_flops(name) == (tera and tera * 1e12)


def test_throughput_counts_the_peak_of_all_processes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    model = network()
    accelerator = SimpleNamespace(device=torch.device("cuda"), num_processes=8)
    assert throughput(model, model.config, accelerator).peak == 8 * 989e12
    on_cpu = SimpleNamespace(device=torch.device("cpu"), num_processes=8)
    assert throughput(model, model.config, on_cpu).peak is None


def test_figures_hold_mfu_where_the_peak_is_known():
    costs = Throughput(of_parameters=1000, of_context=10, peak=1e6)
    assert costs.figures(300, 100, 2.0) == {"tokens_per_second": 150, "mfu": 0.3}
    assert costs._replace(peak=None).figures(300, 100, 2.0) == {"tokens_per_second": 150}
