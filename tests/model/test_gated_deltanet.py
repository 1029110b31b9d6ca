"""The gated delta rule against flash-linear-attention's, and against its recurrence in float64."""

import pytest
import torch
from helpers.oracles import naive
from torch.autograd import gradcheck

from posext.model.gated_deltanet import CHUNK, gated_delta_rule, unit

LENGTHS = [1, 5, CHUNK, 3 * CHUNK + 7]


def inputs(length: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Queries, unit keys, values, logs of decays and strengths, for 2 x 3 heads of 8 and 16."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, length, 3, n, generator=generator).to(dtype) for n in (8, 8, 16))
    decay, beta = (torch.rand(2, length, 3, generator=generator).to(dtype) for _ in range(2))
    return [q, unit(k), v, 3 * decay.log(), beta]


def step_by_step(q, k, v, log_decay, beta) -> torch.Tensor:
    """The recurrence of the paper's equation 10, one token after the other."""
    state = q.new_zeros(2, 3, 16, 8)
    identity = torch.eye(8, dtype=q.dtype)
    read = []
    for t in range(q.shape[1]):
        key, strength = k[:, t], beta[:, t, :, None, None]
        erase = identity - strength * torch.einsum("bhi,bhj->bhij", key, key)
        write = strength * torch.einsum("bhi,bhj->bhij", v[:, t], key)
        state = log_decay[:, t, :, None, None].exp() * (state @ erase) + write
        read.append(torch.einsum("bhij,bhj->bhi", state, q[:, t]) / 8**0.5)
    return torch.stack(read, dim=1)


@pytest.mark.parametrize("length", LENGTHS)
def test_rule_in_chunks_equals_the_recurrence(length):
    given = inputs(length)
    torch.testing.assert_close(
        gated_delta_rule(*given), step_by_step(*given), atol=1e-10, rtol=1e-10
    )


@pytest.mark.parametrize("length", LENGTHS)
def test_rule_in_float32_equals_that_of_fla(length):
    q, k, v, log_decay, beta = inputs(length, torch.float32)
    oracle = naive("gated_delta_rule").naive_recurrent_gated_delta_rule
    expected, _ = oracle(q, k, v, beta, log_decay)
    torch.testing.assert_close(
        gated_delta_rule(q, k, v, log_decay, beta), expected, atol=1e-5, rtol=1e-4
    )


def test_rule_of_equal_keys_and_slow_decay_is_exact():
    """Powers of the triangular system grow fastest here; values of one key replace each other."""
    _, k, v, log_decay, _ = inputs(200, torch.float32)
    k, log_decay, beta = k[:, :1].expand_as(k), 1e-4 * log_decay, torch.ones_like(log_decay)
    found = gated_delta_rule(k, k, v, log_decay, beta)
    torch.testing.assert_close(found * 8**0.5, v, atol=1e-4, rtol=1e-4)


def test_rule_survives_a_decay_to_nothing():
    q, k, v, log_decay, beta = (x.requires_grad_() for x in inputs(100, torch.float32))
    found = gated_delta_rule(q, k, v, 1e4 * log_decay, beta)
    found.square().sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v, log_decay, beta))


def test_gradients_equal_finite_differences(monkeypatch):
    monkeypatch.setattr("posext.model.gated_deltanet.CHUNK", 3)
    given = [x[:1, :, :1].requires_grad_() for x in inputs(8)]
    assert gradcheck(gated_delta_rule, given)
