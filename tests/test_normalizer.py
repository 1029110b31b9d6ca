"""Weights of scores in place of the softmax, against their definitions."""

import itertools
import math

import pytest
import torch
from helpers.networks import SHAPE, network, tokens

from posext.model import attention
from posext.pe import build, names
from posext.utils.errors import PosextError

KEYS = 7


def weights(name: str, scores: torch.Tensor, **settings) -> torch.Tensor:
    """Weights of one row of scores, all of whose keys but the last are visible."""
    modifier = build("rope", **SHAPE, normalizer={"name": name, **settings}).modifiers["normalizer"]
    masked = torch.zeros(1, len(scores), dtype=torch.bool)
    masked[0, -1] = True
    return modifier.weights(scores[None, None, None], masked)[0, 0, 0]


def rows() -> torch.Tensor:
    return 3 * torch.randn(
        20, KEYS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )


def test_softpick_follows_its_definition():
    for scores in rows():
        excess = [math.exp(x) - 1 for x in scores[:-1].tolist()]
        total = sum(map(abs, excess)) + 1e-6 * math.exp(max(0, scores[:-1].max()))
        expected = [max(0, e) / total for e in excess]
        assert weights("softpick", scores).tolist() == pytest.approx([*expected, 0], rel=1e-9)


def test_softpick_takes_large_scores():
    scores = torch.tensor([1000.0, 999.0, -1000.0, 5.0])
    expected = [1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1)), 0, 0]
    assert weights("softpick", scores).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("settings", "bias"), [({}, -math.log(16)), ({"bias": 0.5}, 0.5)])
def test_sigmoid_follows_its_definition(settings, bias):
    for scores in rows():
        expected = [1 / (1 + math.exp(-x - bias)) for x in scores[:-1].tolist()]
        assert weights("sigmoid", scores, **settings).tolist() == pytest.approx([*expected, 0])


def entmax(scores: list[float]) -> list[float]:
    """Entmax with alpha 1.5: relu(x / 2 - tau)^2, with tau by bisection."""
    halves = [x / 2 for x in scores]
    low, high = min(halves) - 1, max(halves)
    for _ in range(200):
        tau = (low + high) / 2
        total = sum(max(0, x - tau) ** 2 for x in halves)
        low, high = (tau, high) if total > 1 else (low, tau)
    return [max(0, x - low) ** 2 for x in halves]


def test_entmax_sums_to_1_and_follows_its_definition():
    for scores in rows():
        expected = entmax(scores[:-1].tolist())
        found = weights("entmax", scores)
        assert found.tolist() == pytest.approx([*expected, 0], abs=1e-9)
        assert float(found.sum()) == pytest.approx(1)
    sparse = weights("entmax", torch.tensor([5.0, 0.0, 4.9, -3.0, 9.0]))
    assert (sparse == 0).tolist() == [False, True, False, True, True]


def test_entmax_has_the_gradient_of_its_definition():
    # in the second, keeping all four would take the root of 0
    for row in ([0.3, 0.1, -0.4, 2.0], [2.0, 2.0, 0.0, 0.0, -9.0]):
        scores = torch.tensor(row, dtype=torch.float64, requires_grad=True)
        torch.autograd.gradcheck(lambda x: weights("entmax", x)[:-1], scores)


@pytest.mark.parametrize(
    ("settings", "delta", "s"), [({}, 1, 2), ({"delta": 0.5, "gamma_range": 3}, 0.5, 3)]
)
def test_asentmax_follows_its_definition(settings, delta, s):
    """Vasylenko et al. 2025 under ALiBi, whose bias the factor leaves as it is."""
    length = 9
    scheme = build("alibi", **SHAPE, normalizer={"name": "asentmax", **settings})
    (module,) = scheme.make_layer_modules()
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, length, 8, generator=generator) for _ in range(3))
    x = torch.randn(2, length, 32, generator=generator)
    w_beta, w_gamma = (torch.randn(4, 32, generator=generator) / 4 for _ in range(2))
    with torch.no_grad():
        module.beta.weight.copy_(w_beta)
        module.gamma.weight.copy_(w_gamma)
        tables = attention.prepare(scheme.tables(torch.arange(length)))
        found = attention.attend(q, k, v, module(x, tables))
    for b, h, n in itertools.product(range(2), range(4), range(length)):
        beta = math.log1p(math.exp(float(w_beta[h] @ x[b, n])))
        gamma = s * math.tanh(float(w_gamma[h] @ x[b, n]))
        factor = delta + beta * math.log(n + 2) ** gamma
        slope = 2 ** (-8 * (h + 1) / 4)
        scores = [
            factor * float(q[b, h, n] @ k[b, h, m]) / math.sqrt(8) - slope * (n - m)
            for m in range(n + 1)
        ]
        expected = torch.tensor(entmax(scores)) @ v[b, h, : n + 1]
        torch.testing.assert_close(found[b, h, n], expected, atol=1e-4, rtol=1e-4)


def test_asentmax_is_refused_beside_another_temperature():
    with pytest.raises(PosextError, match="has a temperature of its own, so no attention_scale"):
        build("rope", **SHAPE, normalizer="asentmax", attention_scale="logn")


@pytest.mark.parametrize("name", names("normalizer"))
@pytest.mark.parametrize("scheme", ["rope", "alibi", "fox", "t5"])
def test_normalizer_is_causal_and_sees_the_bias(name, scheme):
    model, plain = network(2, scheme, normalizer=name), network(2, scheme)
    inputs = tokens(30)
    changed = inputs.clone()
    changed[:, 20:] = 1
    torch.testing.assert_close(model(inputs)[:, :20], model(changed)[:, :20])
    assert (model(inputs) - plain(inputs)).abs().max() > 1e-3
    if scheme == "alibi":
        unbiased = network(2, "none", normalizer=name)
        assert (model(inputs) - unbiased(inputs)).abs().max() > 1e-3


@pytest.mark.parametrize("axis", [{"window": "sliding"}, {"sink": "off_by_one"}])
def test_normalizer_is_refused_beside_a_window_or_sink(axis):
    with pytest.raises(PosextError, match="that are a softmax of scores, not those of Softpick"):
        build("rope", **SHAPE, normalizer="softpick", **axis)


@pytest.mark.parametrize("scheme", ["stick_breaking", "cope", "dape"])
def test_normalizer_is_refused_where_weights_are_the_schemes_own(scheme):
    with pytest.raises(PosextError, match="are its own, so no other normalizer applies"):
        build(scheme, **SHAPE, normalizer="softpick")
