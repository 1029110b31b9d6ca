"""Compilation: which runs compile, and that the networks of a sweep stay compiled."""

from functools import partial

import torch

from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.pe import build
from posext.training import device

CONFIG = ModelConfig(name="test", n_layers=3, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
TOKENS = torch.randint(200, (2, 300), generator=torch.Generator().manual_seed(0))


def test_should_compile_leaves_room_for_every_job_of_a_sweep(monkeypatch):
    """A function with too many compiled versions runs uncompiled, and torch only logs it."""
    traced = partial(torch.compile, backend="eager")  # without generated code
    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr("posext.model.gpt.RECOMPILE_LIMIT", 6)
    settings = {"recompile_limit": 2, "fail_on_recompile_limit_hit": True}  # torch's own: 8, False
    with torch._dynamo.config.patch(settings), torch.no_grad():
        for name in ("rope", "alibi"):
            assert device.should_compile("true", 1)
            pe = build(name, head_dim=16, n_heads=4, d_model=64, train_length=128)
            model = GPT(CONFIG, 200, pe).initialize(0).eval().compile_parts()
            for length in range(8, 13):
                model(TOKENS[:, :length], TOKENS[:, :length])
    torch.compiler.reset()
