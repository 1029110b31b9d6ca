"""Additive biases interpolated for longer contexts."""

import math

import pytest
import torch
from helpers.networks import SHAPE, TRAIN_LENGTH, network, tokens

from posext.pe import build


@pytest.mark.parametrize("factor", [4, "auto"])
def test_interpolated_alibi_divides_slopes(factor):
    """Four heads have slopes 1/4, 1/16, 1/64 and 1/256."""
    bias = build("alibi_interpolated", **SHAPE, factor=factor).bias(torch.arange(4 * TRAIN_LENGTH))
    for head in range(4):
        steps = bias.values_HK[head].diff()
        assert steps.tolist() == pytest.approx([4.0 ** -(head + 1) / 4] * len(steps))


@pytest.mark.parametrize("factor", [8, "auto"])
def test_interpolated_kerple_divides_distances(factor):
    scheme = build("kerple_interpolated", **SHAPE, factor=factor)
    length = 8 * TRAIN_LENGTH
    values = scheme.bias(torch.arange(length)).values_HL.detach()
    for head in range(4):
        height, rate = scheme.height_H[head].item(), scheme.rate_H[head].item()
        expected = [-height * math.log(1 + rate * d / 8) for d in range(length)]
        assert values[head].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["alibi", "kerple"])
def test_interpolation_is_the_scheme_itself_up_to_the_original_length(name):
    plain = network(2, {"alibi": "alibi", "kerple": "kerple_log"}[name])
    interpolated = network(2, f"{name}_interpolated")
    interpolated.load_state_dict(plain.state_dict())
    inputs = tokens(TRAIN_LENGTH)
    assert interpolated(inputs).equal(plain(inputs))
    longer = tokens(4 * TRAIN_LENGTH)
    assert (interpolated(longer) - plain(longer)).abs().max() > 1e-2
