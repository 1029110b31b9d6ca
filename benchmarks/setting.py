"""Shared parts of benchmarks: composed configs, networks and training steps."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import LlamaForCausalLM

from posext.config import TrainConfig
from posext.data import batch, dataset
from posext.hf import export
from posext.model.gpt import GPT
from posext.pe import CONFIGS, build
from posext.runs.run import Run
from posext.training import checkpoint
from posext.training import device as training_device
from posext.training.micro_batches import accumulate
from posext.training.optimizer import make_optimizers, set_learning_rate


def compose_config(*overrides: str, optimizer: str = "adamw") -> TrainConfig:
    """The config of a training command with these overrides; AdamW, as the Trainer has it."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("train", [f"optimizer={optimizer}", *overrides])
    composed.pe = {"name": "none", "_target_": ""}
    return cast(TrainConfig, OmegaConf.to_object(composed))


def network(config: TrainConfig, vocab_size: int, scheme: str, **settings: Any) -> GPT:
    """A network of a config's shape under a scheme, with its initial weights."""
    model = config.model
    shape = {"head_dim": model.head_width(), "n_heads": model.n_heads, "d_model": model.d_model}
    pe = build(scheme, **shape, train_length=config.train_length, **settings)
    pe.read_vocabulary("." if index % 20 == 0 else "word" for index in range(vocab_size))
    return GPT(model, vocab_size, pe).initialize(config.seed)


def training_steps(
    config: TrainConfig,
    tokens: dataset.Data,
    model: GPT,
    accelerator: Accelerator,
    compiled: bool = True,
) -> Callable[[int], float]:
    """Train as the trainer does, without its records.

    Returns a function that takes a number of steps and returns the mean seconds of one.
    """
    if compiled:
        model.compile_parts()
    optimizers = make_optimizers(model, config.optimizer, config.learning_rate)
    set_learning_rate(optimizers, config.learning_rate)
    network, *steppers = accelerator.prepare(model.to(accelerator.device), *optimizers)
    count = config.tokens_per_step // config.train_length
    done = 0

    def steps(number: int) -> float:
        nonlocal done
        begin = time.perf_counter()
        for _ in range(number):
            windows = tokens.train.batch(config.seed, done, config.train_length, count)
            step_batch = batch.next_tokens(*windows)
            accumulate(network, step_batch, config.micro_batch_tokens, accelerator)
            accelerator.clip_grad_norm_(network.parameters(), config.optimizer.clip)
            for stepper in steppers:
                stepper.step()
                stepper.zero_grad()
            done += 1
        wait(accelerator.device)
        return (time.perf_counter() - begin) / number

    return steps


def wait(device: torch.device) -> None:
    """Wait until a GPU has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops_per_token(model: GPT, length: int) -> float:
    """Floating-point operations of a token, forward and backward.

    That is 6 for each parameter of a matrix, the tied head included, and 2 * 3 * (length / 2) * 2
    for each layer and unit of width, for the two products of causal attention.
    """
    matrices = sum(
        p.numel() for n, p in model.named_parameters() if p.ndim >= 2 and not n.startswith("pe.")
    )
    return 6.0 * matrices + 6.0 * model.config.n_layers * model.config.d_model * length


def as_llama(config: TrainConfig, model: GPT) -> LlamaForCausalLM:
    """The same network with the same weights, as a model of transformers."""
    theirs = LlamaForCausalLM(export.llama_config(Run(Path(), config), model))
    theirs.load_state_dict(export.to_llama(checkpoint.weights(model), config.model.n_layers))
    return theirs


def matmul_peak(dtype: torch.dtype, device: torch.device, seconds: float = 0.5) -> float:
    """Peak floating-point operations a second, measured on products of square matrices."""
    best = 0.0
    for size in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            torch.mm(a, b)
            wait(device)
            best = max(best, 2 * size**3 / (time.perf_counter() - begin))
    return best


def bf16() -> Accelerator:
    return training_device.accelerator("bf16")
