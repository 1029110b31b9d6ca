"""AdamW's parameter groups, and the learning rate as a pure function of the step."""

import math

import torch
from torch import nn

from posext.config import OptimizerConfig
from posext.model.gpt import belongs_to_scheme


def lr_at(step: int, steps: int, peak: float, config: OptimizerConfig) -> float:
    """Return the learning rate of a step: linear warmup, then cosine or WSD.

    Args:
        step: The step, counted from 0.
        steps: The number of steps of the run.
        peak: The learning rate after warmup.
        config: The schedule and its shares: `wsd` is constant, with a linear decay at the end.
    """
    warmup = max(1, round(config.warmup_share * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    if config.schedule == "cosine":
        fall = (1 - math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2
    else:
        decay = max(1, round(config.decay_share * steps))
        fall = max(0.0, (step - (steps - decay)) / decay)
    return peak * (1 - (1 - config.final_share) * fall)


def adamw(model: nn.Module, learning_rate: float, config: OptimizerConfig) -> torch.optim.AdamW:
    """Return fused AdamW with weight decay on the matrices of the network.

    Gains, and all parameters of the positional scheme, do not decay.
    """
    named = list(model.named_parameters())
    decayed = [p for n, p in named if p.ndim >= 2 and not belongs_to_scheme(n)]
    rest = [p for n, p in named if p.ndim < 2 or belongs_to_scheme(n)]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)
