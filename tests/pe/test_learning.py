"""Fifty steps of the smallest preset under every scheme and modifier.

The text is a file of Python's standard library.
"""

import argparse
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from posext.config import ModelConfig, OptimizerConfig
from posext.model.gpt import GPT
from posext.pe import CONFIGS, build, names
from posext.training.optimizer import make_optimizers, set_learning_rate

LENGTH = 32
STEPS = 50
TEXT = torch.tensor(list(Path(argparse.__file__).read_bytes()))  # 100 kB of code
NANO = ModelConfig(**OmegaConf.load(CONFIGS / "model" / "nano.yaml"))
CASES = [(name, {}) for name in names()]
CASES += [
    ("rope", {axis: choice})
    for axis in ("window", "attention_scale", "qk_norm", "qk_gain", "sink", "normalizer", "gate")
    for choice in names(axis)
]
CASES += [("alibi", {"position_ids": choice}) for choice in names("position_ids")]


@pytest.mark.parametrize(
    ("name", "axes"), CASES, ids=["-".join([name, *axes.values()]) for name, axes in CASES]
)
def test_loss_falls_within_fifty_steps(name, axes):
    torch.manual_seed(0)
    scheme = build(
        name, head_dim=NANO.head_width(), n_heads=4, d_model=128, train_length=LENGTH, **axes
    )
    scheme.read_vocabulary(map(chr, range(256)))
    model = GPT(NANO, 256, scheme).initialize(0)
    # random bytes, since a text could be easier by chance
    noise = torch.randint(256, (8, LENGTH + 1), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        untrained = float(model(noise[:, :-1], noise[:, 1:])) / (8 * LENGTH)
    assert untrained == pytest.approx(5.55, abs=0.15)  # ln 256
    (optimizer,) = make_optimizers(model, OptimizerConfig(), 2e-3)
    set_learning_rate([optimizer], 2e-3)
    losses = []
    for step in range(STEPS):
        reached = scheme.effective_length(LENGTH)
        scheme.set_progress(trained_length=reached, progress=step / STEPS, rng_key=(0, step))
        starts = torch.randint(len(TEXT) - LENGTH - 1, (8,))
        windows = TEXT[starts[:, None] + torch.arange(LENGTH + 1)]
        loss = model(windows[:, :-1], windows[:, 1:]) / (8 * LENGTH)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) / 5 < 3.7
