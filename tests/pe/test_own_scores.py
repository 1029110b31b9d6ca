"""Schemes whose scores are not products of rotated queries and keys, against loops in float64.

A loop follows the paper's formula, pair by pair, and never calls a table of this code.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from posext.model import attention
from posext.pe import build

SHAPE = {"head_dim": 8, "n_heads": 2, "d_model": 16, "train_length": 16}
LENGTH = 21


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def attended(generator, name, q, k, v, x, spread=1.0, **choices):
    """The output of attention in float64 under random parameters, and the scheme's modules."""
    scheme = build(name, **SHAPE, **choices)
    modules = [module.double() for module in scheme.make_layer_modules()]
    with torch.no_grad():
        for parameter in (p for module in modules for p in module.parameters()):
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
        tables = attention.prepare(scheme.tables(torch.arange(q.shape[2])))
        for module in modules:
            tables = module(x, tables)
        return attention.attend(q, k, v, tables), modules


def random_inputs(generator, length=LENGTH):
    """Queries, keys and values, and the attention input, float64."""
    qkv = [torch.randn(2, 2, length, 8, generator=generator).double() for _ in range(3)]
    return *qkv, torch.randn(2, length, 16, generator=generator).double()


def from_logits(logits, v, window=10**9):
    """Attention by logits(b, h, n, m), row by row."""
    out = torch.empty_like(v)
    for b, h, n in torch.cartesian_prod(*(torch.arange(size) for size in v.shape[:3])).tolist():
        first = max(0, n + 1 - window)
        row = torch.stack([torch.as_tensor(logits(b, h, n, m)) for m in range(first, n + 1)])
        out[b, h, n] = row.softmax(0) @ v[b, h, first : n + 1]
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
