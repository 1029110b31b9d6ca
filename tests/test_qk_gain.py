"""Gains on queries and keys."""

import pytest
import torch
from helpers.networks import SHAPE, TRAIN_LENGTH, network, tokens

from posext.model.gpt import GPT
from posext.pe import build


def shifted_logits(model: GPT, shift: int) -> torch.Tensor:
    """Logits of a network whose positions start at `shift`."""
    model.pe.positions = lambda length, device=None: torch.arange(shift, shift + length)
    with torch.no_grad():
        return model(tokens(TRAIN_LENGTH))


@pytest.mark.parametrize("gain", ["per_pair", "per_dim"])
def test_qk_gain_keeps_scores_relative_only_per_pair(gain):
    model = network(2, "rope", qk_gain=gain)
    with torch.no_grad():
        for block in model.blocks:
            (module,) = block.attention.order
            module.gain.copy_(torch.linspace(0.3, 3, len(module.gain)))
    difference = (shifted_logits(model, 0) - shifted_logits(model, 50)).abs().max()
    assert model.pe.relative == (gain == "per_pair")
    assert (difference < 2e-3) == model.pe.relative
    if not model.pe.relative:
        assert difference > 0.05


def test_qk_gain_per_pair_is_absorbed_by_the_projections():
    gains = [0.5, 2.0, 3.0, 0.1]
    gained = network(1, "rope", qk_gain={"name": "per_pair", "weights": gains})
    plain = network(1, "rope")
    with torch.no_grad():
        # the heads of the queries, then of the keys
        for rows in plain.blocks[0].attention.qkv.weight[:64].view(8, 8, 32):
            rows *= torch.tensor(gains * 2)[:, None]
    torch.testing.assert_close(gained(tokens(20)), plain(tokens(20)), atol=1e-4, rtol=1e-4)


def test_qk_gain_starts_at_1_and_is_learned():
    model, plain = network(2, "rope", qk_gain="per_dim"), network(2, "rope")
    torch.testing.assert_close(model(tokens(20)), plain(tokens(20)))
    model(tokens(20)[:, :-1], tokens(20)[:, 1:]).backward()
    assert all(block.attention.order[0].gain.grad.abs().min() > 0 for block in model.blocks)


def test_qk_gain_refuses_another_number_of_weights():
    with pytest.raises(ValueError, match="has 3 numbers; a head has 4 pairs"):
        build("rope", **SHAPE, qk_gain={"name": "per_pair", "weights": [1.0, 1.0, 1.0]})
