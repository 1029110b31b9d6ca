"""Additive biases against T5's own buckets and against closed forms.

An oracle gets parameters and distances, never a table of this code.
"""

import math

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from posext.model.attention import prepare
from posext.pe import build

SHAPE = {"head_dim": 16, "n_heads": 4, "d_model": 64, "train_length": 128}


def dense(scheme, length: int) -> torch.Tensor:
    """The bias of the last query by distance, from 0 on: (H, T)."""
    positions = torch.arange(length)
    return prepare(scheme.tables(positions)).bias.values_HQK[:, -1].flip(-1).detach()


@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (8, 20), (64, 1000)])
def test_t5_buckets_equal_those_of_transformers(buckets, max_distance):
    scheme = build("t5", **SHAPE, buckets=buckets, max_distance=max_distance)
    distances = torch.arange(5000)
    theirs = T5Attention._relative_position_bucket(-distances, False, buckets, max_distance)
    assert scheme.bucket(distances).equal(theirs)
    assert dense(scheme, 300).equal(scheme.table_HB.detach()[:, theirs[:300]])


def test_kerple_log_equals_its_kernel():
    scheme = build("kerple_log", **SHAPE).requires_grad_(False)
    bias = dense(scheme, 300)
    for distance in (0, 1, 7, 299):
        for head in range(4):
            height = max(float(scheme.height_H[head]), 1e-2)
            rate = max(float(scheme.rate_H[head]), 1e-2)
            expected = -height * math.log(1 + rate * distance)
            assert float(bias[head, distance]) == pytest.approx(expected, abs=1e-5)


def test_kerple_power_equals_its_kernel():
    scheme = build("kerple_power", **SHAPE).requires_grad_(False)
    bias = dense(scheme, 300)
    for distance in (0, 1, 7, 299):
        for head in range(4):
            height = max(float(scheme.height_H[head]), 1e-2)
            power = max(float(scheme.power_H[head]), 1e-2)
            expected = -height * distance**power
            assert float(bias[head, distance]) == pytest.approx(expected, rel=1e-5)


def test_kerple_power_of_1_equals_alibi():
    power, alibi = build("kerple_power", **SHAPE), build("alibi", **SHAPE)
    keys = alibi.bias(torch.arange(50)).values_HK
    with torch.no_grad():
        power.power_H.fill_(1)
        power.height_H.copy_(keys[:, 1])
    expected = (keys - keys[:, -1:]).flip(-1)
    # without the last head: its slope is below the least height of KERPLE
    torch.testing.assert_close(dense(power, 50)[:3].double(), expected[:3], atol=1e-5, rtol=1e-6)


def test_sandwich_is_an_inner_product_of_sinusoids():
    bias = dense(build("sandwich", **SHAPE, width=32), 200)
    for distance in (0, 3, 150):
        total = sum(math.cos(distance * 10000 ** (-2 * j / 32)) for j in range(1, 17))
        for head in range(4):
            assert float(bias[head, distance]) == pytest.approx(
                (total - 16) / (8 * (head + 1) / 4), abs=1e-5
            )
    assert bias[:, 0].abs().max() < 1e-6


def test_fire_normalizes_by_the_query_position():
    """Up to its threshold the position counts as the threshold."""
    module = build("fire", **SHAPE, threshold=20).make_layer_module()
    values = module.rows(torch.arange(100), torch.arange(100)).detach()
    for n, j in ((0, 0), (10, 3), (20, 1), (99, 0), (99, 98)):
        psi = math.log(0.1 * (n - j) + 1) / (math.log(0.1 * max(n, 20) + 1) + 1e-6)
        expected = module.mlp(torch.tensor([[psi]])).detach()[0]
        torch.testing.assert_close(values[:, n, j], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["t5", "kerple_log", "kerple_power", "fire_s"])
def test_bias_gradients_equal_finite_differences(name):
    torch.manual_seed(0)
    scheme = build(name, **SHAPE)
    positions = torch.arange(12)
    weights = torch.randn(4, 12, 12, generator=torch.Generator().manual_seed(0)).tril()

    def value() -> torch.Tensor:
        return (prepare(scheme.tables(positions)).bias.values_HQK * weights).sum()

    scheme.double()
    value().backward()
    for parameter in scheme.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for index in range(0, len(flat), max(1, len(flat) // 5)):
            step = 1e-3
            initial = float(flat[index])
            with torch.no_grad():
                flat[index] = initial + step
                above = float(value())
                flat[index] = initial - step
                below = float(value())
                flat[index] = initial
            slope = (above - below) / (2 * step)
            assert slope == pytest.approx(float(gradient[index]), abs=2e-3, rel=2e-3)
