"""Schemes whose scores are not products of rotated queries and keys, against loops in float64.

A loop follows the paper's formula, pair by pair, and never calls a table of this code.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from posext.model import attention
from posext.pe import build, path
from posext.utils.errors import PosextError

SHAPE = {"head_dim": 8, "n_heads": 2, "d_model": 16, "train_length": 16}
LENGTH = 21


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def attended(generator, name, q, k, v, x, spread=1.0, last=None, **choices):
    """The output of attention in float64 under random parameters, and the scheme's modules."""
    scheme = build(name, **SHAPE, **choices)
    modules = [module.double() for module in scheme.make_layer_modules()]
    with torch.no_grad():
        for parameter in (p for module in modules for p in module.parameters()):
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
        tables = attention.prepare(scheme.tables(torch.arange(q.shape[2])))
        for module in modules:
            tables = module(x, tables)
        return attention.attend(q, k, v, tables, last), modules


def random_inputs(generator, length=LENGTH):
    """Queries, keys and values, and the attention input, float64."""
    qkv = [torch.randn(2, 2, length, 8, generator=generator).double() for _ in range(3)]
    return *qkv, torch.randn(2, length, 16, generator=generator).double()


def from_logits(logits, v, window=10**9, sink=-math.inf):
    """Attention by logits(b, h, n, m) and the logit of a sink, row by row."""
    out = torch.empty_like(v)
    for b, h, n in torch.cartesian_prod(*(torch.arange(size) for size in v.shape[:3])).tolist():
        first = max(0, n + 1 - window)
        row = [torch.as_tensor(logits(b, h, n, m)) for m in range(first, n + 1)]
        row = torch.stack([*row, torch.tensor(sink, dtype=torch.float64)])
        out[b, h, n] = row.softmax(0)[:-1] @ v[b, h, first : n + 1]
    return out


@pytest.mark.parametrize("size", [5, 100])
def test_pope_in_a_window_equals_the_formula(generator, size):
    q, k, v, x = random_inputs(generator)
    window = {"name": "sliding", "size": size}
    ours, (module,) = attended(generator, "pope", q, k, v, x, window=window)

    def logit(b, h, n, m):
        total = 0.0
        for c in range(8):
            magnitude = F.softplus(q[b, h, n, c]) * F.softplus(k[b, h, m, c])
            phase = (m - n) * 10000 ** (-c / 8) + module.shift_HD[h, c]
            total = total + magnitude * torch.cos(phase)
        return total.detach() / math.sqrt(8)

    torch.testing.assert_close(ours, from_logits(logit, v, size), atol=1e-12, rtol=1e-10)


def wall_logit(q, k, log_gates):
    """The sum over dimensions of q k times the gates after the key, up to the query's own."""

    def logit(b, h, n, m):
        total = 0.0
        for c in range(8):
            gate = log_gates[b, h, m + 1 : n + 1, c].sum().exp()
            total = total + q[b, h, n, c] * k[b, h, m, c] * gate
        return total.detach() / math.sqrt(8)

    return logit


def log_gates_of(gates, x):
    logits = torch.einsum("btc,hdc->bhtd", x, gates.weight_HDC) + gates.bias_HD[:, None]
    return F.logsigmoid(logits)


@pytest.mark.parametrize(("choices", "sink"), [({}, -math.inf), ({"sink": "off_by_one"}, 0.0)])
def test_wall_equals_the_formula(generator, choices, sink):
    q, k, v, x = random_inputs(generator)
    ours, (gates,) = attended(generator, "wall", q, k, v, x, **choices)
    exact = from_logits(wall_logit(q, k, log_gates_of(gates, x)), v, sink=sink)
    torch.testing.assert_close(ours, exact, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])  # of gates; 30: some of e^-200 a token
def test_wall_is_exact_in_float32_over_thousands_of_tokens(generator, spread):
    q, k, v, x = random_inputs(generator, length=2500)
    _, (gates,) = attended(generator, "wall", q, k, v, x, spread)
    with torch.no_grad():
        gates.bias_HD += 6  # most gates near 1, so that far keys count
        log_gates = log_gates_of(gates, x)
        tables = gates(x, build("wall", **SHAPE).tables(torch.arange(2500)))
        ours = attention.attend(q.float(), k.float(), v.float(), tables, last=700)
    for n in (1800, 1927, 1928, 2499):
        after = log_gates[:, :, : n + 1].flip(2).cumsum(2).flip(2) - log_gates[:, :, : n + 1]
        row = (q[:, :, n : n + 1] * k[:, :, : n + 1] * after.exp()).sum(-1) / math.sqrt(8)
        exact = (row.softmax(-1)[..., None] * v[:, :, : n + 1]).sum(2)
        torch.testing.assert_close(ours[:, :, n - 1800].double(), exact, atol=1e-5, rtol=1e-4)


def test_wall_starts_with_half_lives_of_half_the_training_length():
    gates = build("wall", **SHAPE).make_layer_module()
    half_lives = -math.log(2) / F.logsigmoid(gates.bias_HD.double())
    assert half_lives.flatten().tolist() == pytest.approx([8.0] * 16, rel=1e-5)
    longer = build("wall", **{**SHAPE, "train_length": 4096}).make_layer_module()
    assert longer.bias_HD[0, 0].item() == pytest.approx(8, abs=0.02)  # published for 4,096 tokens


@pytest.mark.parametrize("last", [21, 4])
@pytest.mark.parametrize("block", [64, 5])
@pytest.mark.parametrize("name", ["path", "path_fox"])
def test_path_equals_the_formula(generator, monkeypatch, name, block, last):
    monkeypatch.setattr(path, "BLOCK", block)
    q, k, v, x = random_inputs(generator)
    ours, (module, *forget) = attended(generator, name, q, k, v, x, last=last)
    down, up = (layer.weight for layer in module.project)
    beta = 2 * torch.sigmoid(x @ module.beta.weight.T + module.beta.bias)

    def unit_w(b, h, token):
        w = torch.zeros(8, dtype=torch.float64)
        for back in range(min(3, token + 1)):
            projected = (up @ (down @ x[b, token - back]))[8 * h : 8 * h + 8]
            w = w + module.convolve.weight[8 * h : 8 * h + 8, 0, 2 - back] * projected
        return F.silu(w) / (F.silu(w).norm() ** 2 + 1e-6).sqrt()

    ws = torch.stack([unit_w(b, h, t) for b in (0, 1) for h in (0, 1) for t in range(LENGTH)])
    ws = ws.detach().view(2, 2, LENGTH, 8)

    def logit(b, h, n, m):
        query, gates = q[b, h, n], 0.0
        for token in range(n, m, -1):
            w = ws[b, h, token]
            query = query - beta[b, token, h] * w * (w @ query)
            for gate in forget:
                gates = gates + F.logsigmoid(gate.weight_HC[h] @ x[b, token] + gate.bias_H[h])
        return (k[b, h, m] @ query / math.sqrt(8) + gates).detach()

    exact = from_logits(logit, v)[:, :, -last:]
    torch.testing.assert_close(ours, exact, atol=1e-10, rtol=1e-9)


def test_path_keeps_its_precision_in_float32_over_thousands_of_tokens(generator):
    q, k, v, x = random_inputs(generator, length=2500)
    _, (module,) = attended(generator, "path", q, k, v, x, 0.3)
    module = module.float()
    module.beta.bias.data += 20  # reflections, so that far keys count
    tables = module(x.float(), build("path", **SHAPE).tables(torch.arange(2500)))
    with torch.no_grad():
        ours = attention.attend(q.float(), k.float(), v.float(), tables, last=700)
        w = module.convolve(module.project(x.float()).mT)[..., :2500].double()
        w = F.silu(w).unflatten(1, (2, 8)).mT
        w = w / (w.norm(dim=-1, keepdim=True) ** 2 + 1e-6).sqrt()
        beta = 2 * module.beta(x.float()).double().sigmoid().mT[..., None]
    for n in (1800, 1927, 2499):
        query, logits = q[:, :, n], torch.empty(2, 2, n + 1, dtype=torch.float64)
        for m in range(n, -1, -1):
            logits[:, :, m] = (k[:, :, m] * query).sum(-1) / math.sqrt(8)
            inner = (w[:, :, m] * query).sum(-1, keepdim=True)
            query = query - beta[:, :, m] * inner * w[:, :, m]
        exact = (logits.softmax(-1)[..., None] * v[:, :, : n + 1]).sum(2)
        assert logits[:, :, : n - 500].abs().max() > 0.5
        torch.testing.assert_close(ours[:, :, n - 1800].double(), exact, atol=1e-4, rtol=1e-3)


def test_grape_a_equals_the_formula(generator):
    q, k, v, x = random_inputs(generator)
    ours, (module,) = attended(generator, "grape_a", q, k, v, x)
    omega = torch.log(1 + module.omega_H.exp())

    def gate(x, direction):
        return torch.log(1 + (direction @ x / direction.norm() / math.sqrt(8)).exp())

    def logit(b, h, n, m):
        rate = gate(q[b, h, n], module.query_HD[h]) + gate(k[b, h, m], module.key_HD[h])
        slope = (2**-4, 2**-8)[h] * omega[h] * rate  # of two heads
        return (q[b, h, n] @ k[b, h, m] / math.sqrt(8) - (n - m) * slope).detach()

    torch.testing.assert_close(ours, from_logits(logit, v), atol=1e-12, rtol=1e-10)


def test_grape_a_starts_at_the_slopes_of_alibi_times_its_gates():
    module = build("grape_a", **SHAPE).make_layer_module()
    zeros = torch.zeros(1, 2, 1, 8)
    start = [math.log(2) * slope for slope in (2**-4, 2**-8)]
    assert module.slope(zeros, module.key_HD).flatten().tolist() == pytest.approx(start)


@pytest.mark.parametrize("name", ["wall", "path", "path_fox", "grape_a"])
def test_own_scores_refuse_a_window(generator, name):
    with pytest.raises(PosextError, match="window needs scores that are products of queries"):
        build(name, **SHAPE, window="sliding")
    scheme = build(name, **SHAPE)
    module = scheme.make_layer_module().double()
    q, k, v, x = random_inputs(generator)
    windowed = build("none", **SHAPE, window="sliding").tables(torch.arange(LENGTH))
    with pytest.raises(PosextError, match="window needs scores"):
        attention.attend(q, k, v, module(x, windowed))
