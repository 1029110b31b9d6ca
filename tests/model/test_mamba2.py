"""Mamba-2 against its recurrence in float64, and the layer against that of transformers."""

import pytest
import torch
from torch.autograd import gradcheck
from transformers import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from posext.config import ModelConfig
from posext.model.mamba2 import CHUNK, Mamba2, decayed_sum
from posext.pe.tables import AttentionTables

LENGTHS = [1, 5, CHUNK, 3 * CHUNK + 7]
CONFIG = ModelConfig("test", n_layers=1, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)


def inputs(length: int) -> list[torch.Tensor]:
    """What reads, what writes, values and logs of decays, for 2 x 3 heads of 16."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, length, 8, generator=generator).double() for _ in range(2))
    v = torch.randn(2, length, 3, 16, generator=generator).double()
    return [q, k, v, 3 * torch.rand(2, length, 3, generator=generator).double().log()]


def step_by_step(q, k, v, log_decay) -> torch.Tensor:
    """The recurrence, one token after the other."""
    state = q.new_zeros(2, 3, 16, 8)
    read = []
    for t in range(q.shape[1]):
        state = log_decay[:, t, :, None, None].exp() * state
        state = state + torch.einsum("bhi,bj->bhij", v[:, t], k[:, t])
        read.append(torch.einsum("bhij,bj->bhi", state, q[:, t]))
    return torch.stack(read, dim=1)


@pytest.mark.parametrize("length", LENGTHS)
def test_sum_in_chunks_equals_the_recurrence(length):
    given = inputs(length)
    torch.testing.assert_close(decayed_sum(*given), step_by_step(*given), atol=1e-10, rtol=1e-10)


def test_sum_survives_a_decay_to_nothing():
    q, k, v, log_decay = (x.float().requires_grad_() for x in inputs(100))
    decayed_sum(q, k, v, 1e4 * log_decay).square().sum().backward()


def test_gradients_equal_finite_differences(monkeypatch):
    monkeypatch.setattr("posext.model.mamba2.CHUNK", 3)
    q, k, v, log_decay = inputs(8)
    given = (q[:1], k[:1], v[:1, :, :1], log_decay[:1, :, :1])
    assert gradcheck(decayed_sum, [x.contiguous().requires_grad_() for x in given])


@torch.no_grad()
def test_layer_equals_that_of_transformers():
    torch.manual_seed(0)
    config = Mamba2Config(
        hidden_size=64,
        num_heads=4,
        head_dim=16,
        state_size=32,
        expand=1,
        n_groups=1,
        conv_kernel=4,
        chunk_size=16,
        num_hidden_layers=1,
        layer_norm_epsilon=1e-5,
    )
    theirs = Mamba2Mixer(config, layer_idx=0).eval()
    ours = Mamba2(CONFIG)
    ours.load_state_dict(
        {
            "project.weight": theirs.in_proj.weight,
            "convolution.weight": theirs.conv1d.weight,
            "convolution.bias": theirs.conv1d.bias,
            "decay.log_rate": theirs.A_log,
            "decay.step_bias": theirs.dt_bias,
            "skip": theirs.D,
            "norm.weight": theirs.norm.weight,
            "out.weight": theirs.out_proj.weight,
        }
    )
    x = torch.randn(2, 150, 64)
    found = ours(x, AttentionTables(torch.arange(150)))
    torch.testing.assert_close(found, theirs(x), atol=1e-5, rtol=1e-4)
