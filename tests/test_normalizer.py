"""Weights of scores in place of the softmax, against their definitions."""

import math

import pytest
import torch
from helpers.networks import SHAPE, network, tokens

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


def test_entmax_sums_to_1_and_follows_its_definition():
    """tau by bisection."""
    for scores in rows():
        halves = [x / 2 for x in scores[:-1].tolist()]
        low, high = min(halves) - 1, max(halves)
        for _ in range(200):
            tau = (low + high) / 2
            total = sum(max(0, x - tau) ** 2 for x in halves)
            low, high = (tau, high) if total > 1 else (low, tau)
        expected = [max(0, x - low) ** 2 for x in halves]
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
