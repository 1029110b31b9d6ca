"""Attention against a plain float64 reference, forward and gradient."""

import math

import pytest
import torch

from posext.model import attention, fused
from posext.pe.base import AttentionTables, DistanceBias, KeyBias, PairBias, Rotation
from posext.utils.memory import PeakMemory


def inputs(length: int, dtype: torch.dtype, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, 4, length, 16, generator=generator, dtype=torch.float64).to(dtype)
        for _ in range(3)
    ]


def tables(length: int, rotated: bool, slopes: tuple[float, ...] | None = None) -> AttentionTables:
    positions = torch.arange(length, dtype=torch.float64)
    phases = positions[:, None] * 100.0 ** (-torch.arange(8) / 8)
    rotation = Rotation(phases.cos().float(), phases.sin().float()) if rotated else None
    bias = (
        KeyBias(torch.tensor(slopes, dtype=torch.float64)[:, None] * positions) if slopes else None
    )
    return AttentionTables(torch.arange(length), rotation, bias)


def reference(q, k, v, given: AttentionTables, exact=None) -> torch.Tensor:
    """Attention row by row in float64, with distances counted from the query.

    `exact(n, distances_K)` returns the bias of query n where it is no key bias: float64 (H, K).
    """
    q, k, v = (x.double() for x in (q, k, v))
    if given.rotation is not None:
        z = torch.complex(given.rotation.cos_TR.double(), given.rotation.sin_TR.double())
        q, k = (torch.view_as_real(torch.complex(*x.chunk(2, -1)) * z) for x in (q, k))
        q, k = (torch.cat(x.unbind(-1), -1) for x in (q, k))
    rows = []
    for n in range(q.shape[2]):
        scores = (k[:, :, : n + 1] * q[:, :, n : n + 1]).sum(-1) / math.sqrt(q.shape[-1])
        if isinstance(given.bias, KeyBias):
            scores = scores + given.bias.values_HK[:, : n + 1] - given.bias.values_HK[:, n : n + 1]
        elif given.bias is not None:
            scores = scores + exact(n, n + 1 - torch.arange(1, n + 2))
        rows.append((scores.softmax(-1)[..., None] * v[:, :, : n + 1]).sum(2))
    return torch.stack(rows, dim=2)


BIASES = [None, (0.25, 0.0625, 2**-6, 2**-8), (0.5, 0.7, 0.01, 1.0)]


# lengths on either side of the switch between paths
@pytest.mark.parametrize("length", [1, 100, attention.EXPLICIT_LENGTH + 5])
@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("slopes", BIASES)
def test_attend_equals_the_reference(length, rotated, slopes):
    given = tables(length, rotated, slopes)
    results = []
    for path in (attention.attend, reference):
        qkv = [x.requires_grad_() for x in inputs(length, torch.float32)]
        out = path(*qkv, given)
        (out * torch.linspace(-1, 1, 16)).sum().backward()
        results.append([out.detach().double(), *(x.grad.double() for x in qkv)])
    for actual, exact in zip(*results, strict=True):
        torch.testing.assert_close(actual, exact, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [100, attention.EXPLICIT_LENGTH + 5])
@pytest.mark.parametrize("last", [1, 40, 90])  # few of them and most of them take different paths
@pytest.mark.parametrize("slopes", BIASES)
def test_attend_of_last_queries_equals_the_reference(length, last, slopes):
    qkv = inputs(length, torch.float32)
    given = tables(length, True, slopes)
    exact = reference(*qkv, given)[:, :, -last:]
    torch.testing.assert_close(
        attention.attend(*qkv, given, last).double(), exact, atol=2e-5, rtol=1e-4
    )


def by_distance(height, rate):
    """A learned bias of the distance, and the function of it that the reference takes."""

    def exact(n, distances):
        return -height.double()[:, None] * torch.log1p(rate.double()[:, None] * distances)

    values = -height[:, None] * torch.log1p(rate[:, None] * torch.arange(300))
    return DistanceBias(values), exact


def by_pair(height, rate):
    """A learned bias of distance and query, and the function of it that the reference takes."""

    def rows(positions_q, positions_k):
        share = (positions_q[:, None] - positions_k).clamp(min=0) / (positions_q[:, None] + 1)
        return -height[:, None, None] * torch.sqrt(1 + rate[:, None, None] * share)

    def exact(n, distances):
        share = distances / (n + 1)
        return -height.double()[:, None] * torch.sqrt(1 + rate.double()[:, None] * share)

    return PairBias(rows), exact


@pytest.mark.parametrize("learned", [by_distance, by_pair])
@pytest.mark.parametrize("limit", [1000, 64])  # all scores at once; a chunk of queries at a time
def test_attend_with_a_learned_bias_equals_the_reference(monkeypatch, learned, limit):
    monkeypatch.setattr(attention, "DENSE_LENGTH", limit)
    monkeypatch.setattr(attention, "EXPLICIT_LENGTH", limit)
    results = []
    for path in ("attend", "reference"):
        qkv = [x.requires_grad_() for x in inputs(300, torch.float32)]
        height = torch.tensor([0.5, 1.0, 2.0, 4.0], requires_grad=True)
        rate = torch.tensor([0.1, 0.5, 1.0, 3.0], requires_grad=True)
        bias, exact = learned(height, rate)
        given = tables(300, True)._replace(bias=bias)
        out = (
            attention.attend(*qkv, attention.prepare(given))
            if path == "attend"
            else reference(*qkv, given, exact)
        )
        (out * torch.linspace(-1, 1, 16)).sum().backward()
        results.append([out.detach().double(), *(x.grad.double() for x in (*qkv, height, rate))])
    for actual, exact in zip(*results, strict=True):
        torch.testing.assert_close(actual, exact, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_split_mantissa_is_exact_at_long_contexts(dtype):
    """Neighbouring keys differ by one slope at any position, which bf16 alone would round away."""
    length = 65_536
    slopes = (0.5, 2**-8)
    bias = KeyBias(torch.tensor(slopes, dtype=torch.float64)[:, None] * torch.arange(length))
    head_dim = 16
    folded = fused.relative_to_last_key(bias) * math.sqrt(head_dim)
    scores = fused.split_mantissa(folded, dtype).double().sum(-1) / math.sqrt(head_dim)
    exact = bias.values_HK - bias.values_HK[:, -1:]
    assert (scores - exact).abs().max() < 2e-3  # at 32,768 nats; neighbours differ by 4e-3 at least
    assert (scores - exact)[:, -2048:].abs().max() < 1e-4


def test_attend_takes_memory_linear_in_the_length():
    """The scores of four heads at 8,192 tokens would take 1 GiB, and a bias as much again."""
    peaks = []
    distances = DistanceBias(torch.zeros(4, 8192))
    for bias in (*(tables(8192, True, slopes).bias for slopes in BIASES[:2]), distances):
        qkv = [x[:1] for x in inputs(8192, torch.float32)]
        given = tables(8192, True)._replace(bias=bias)
        with PeakMemory(torch.device("cpu")) as peak, torch.no_grad():
            attention.attend(*qkv, attention.prepare(given))
        peaks.append(peak.bytes)
    assert max(peaks) < 250 * 2**20
