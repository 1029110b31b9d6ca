"""The optimizers of a network, and the learning rate as a pure function of the step."""

import math
import re
from collections.abc import Iterable

import torch
from torch import nn

from posext.config import MuonConfig, OptimizerConfig
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


def make_optimizers(
    model: nn.Module, config: OptimizerConfig, peak: float
) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a config, each trained parameter in one of them.

    Args:
        model: The network.
        config: The kind of optimizer and its settings.
        peak: The highest learning rate of the run; `set_learning_rate` keeps those of several
            optimizers in proportion. They are 0 until then.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not isinstance(config, MuonConfig):
        return [adamw(trained.items(), config)]
    matrices = {name: p for name, p in trained.items() if is_block_matrix(name, p)}
    rest = [(name, p) for name, p in trained.items() if name not in matrices]
    muon = torch.optim.Muon(
        list(matrices.values()),
        lr=0.0,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
        adjust_lr_fn="original",
    )
    muon.param_groups[0]["lr_multiple"] = config.matrix_learning_rate / peak
    return [adamw(rest, config), muon]


def adamw(named: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig) -> torch.optim.AdamW:
    """Return fused AdamW with weight decay on the matrices among the parameters of a network.

    Gains, and all parameters of the positional scheme, do not decay.
    """
    decayed = []
    rest = []
    for name, parameter in named:
        is_decayed = parameter.ndim >= 2 and not belongs_to_scheme(name)
        (decayed if is_decayed else rest).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(config.beta1, config.beta2), fused=True)


def is_block_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a parameter is a matrix of the network between embedding and head.

    The layers of transformers' models are called layers, h or blocks.
    """
    in_a_layer = re.search(r"(^|\.)(blocks|layers|h)\.\d+\.", name) is not None
    return in_a_layer and parameter.ndim == 2 and not belongs_to_scheme(name)


def set_learning_rate(optimizers: Iterable[torch.optim.Optimizer], learning_rate: float) -> None:
    """Set the learning rate of every group, times the multiple of groups that have one."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group.get("lr_multiple", 1.0)
