"""Training throughput and MFU by scheme and length, on random tokens: ours, and the Trainer.

A case is a scheme, or SCHEME+WINDOW. `none` is torch's fused attention and nothing else. A case
that does not fit memory is left out, with a line that says so.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import report
import torch
from paired import apart, interleaved, speedup
from setting import bf16, compose_config, network, training_steps
from train_throughput import trainer_loop

from posext.config import TrainConfig
from posext.model.gpt import GPT
from posext.training.throughput import throughput


def config_of(model: str, length: int, tokens: int, micro: int) -> TrainConfig:
    """The config of a training command at a length."""
    sizes = (f"train_length={length}", f"tokens_per_step={tokens}", f"micro_batch_tokens={micro}")
    return compose_config(f"model={model}", "precision=bf16", *sizes)


def random_tokens(vocabulary: int) -> Any:
    """A stand-in for a corpus: the same random windows at every step."""

    def batch(seed: int, step: int, length: int, count: int) -> tuple[torch.Tensor, list[str]]:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(vocabulary, (count, length + 1), generator=generator), []

    return SimpleNamespace(train=SimpleNamespace(batch=batch))


def model_of(config: TrainConfig, vocabulary: int, case: str) -> GPT:
    """The network of a case."""
    scheme, _, window = case.partition("+")
    settings = {"window": {"name": window, "size": 256}} if window else {}
    return network(config, vocabulary, scheme, **settings)


def trainer(
    model: str, length: int, tokens: int, micro: int, vocabulary: int, compiled: bool
) -> Callable[[], float]:
    """The Trainer on the same network under RoPE: a function that returns seconds a step."""
    config = config_of(model, length, tokens, micro)
    windows, _ = random_tokens(vocabulary).train.batch(0, 0, length, 4 * (tokens // length))
    return trainer_loop(config, model_of(config, vocabulary, "rope"), windows, 3, compiled)


def benchmark(
    repeats: int,
    model: str,
    cases: str,
    lengths: str,
    tokens: int,
    micro: int,
    vocabulary: int,
    compiled: int,
) -> list[report.Row]:
    """Tokens a second, MFU where the peak of the GPU is known, and speed against RoPE."""
    rows = []
    accelerator = bf16()
    for length in map(int, lengths.split(",")):
        config = config_of(model, length, tokens, micro)
        timed = {}
        costs = {}
        for case in cases.split(","):
            ours = model_of(config, vocabulary, case)
            costs[case] = throughput(ours, config.model, accelerator)
            steps = training_steps(
                config, random_tokens(vocabulary), ours, accelerator, bool(compiled)
            )
            try:
                steps(2)  # compiles
            except torch.OutOfMemoryError:
                print(f"{case} at {length:,} tokens: out of memory", flush=True)
                continue
            print(f"{case} at {length:,} tokens", flush=True)
            timed[case] = lambda steps=steps: steps(2)
        arguments = (model, length, tokens, micro, vocabulary, bool(compiled))
        timed["Trainer"] = apart(trainer, *arguments)
        costs["Trainer"] = costs["rope"]
        seconds = interleaved(timed, repeats)
        for case in timed:
            name = f"{model}, {length:,} tokens, {case}"
            rate = tokens // length * length / seconds[case].to_numpy()
            rows.append(report.row(name, "training", rate, "tokens/s"))
            flops = rate * costs[case].flops_per_token(length)
            rows.append(report.row(name, "operations", flops / 1e12, "TFLOP/s"))
            if costs[case].peak:
                rows.append(report.row(name, "MFU", np.asarray(flops) / costs[case].peak))
            if case != "rope":
                rows.append(
                    report.row(name, "speed against rope", speedup(seconds, case, "rope"), "times")
                )
    return rows


if __name__ == "__main__":
    report.run(
        "gpu_throughput",
        benchmark,
        repeats=3,
        model="base",
        cases="none,rope,alibi,fox,t5,fire,rope+sliding",
        lengths="1024,4096",
        tokens=131_072,
        micro=32_768,
        vocabulary=50_257,
        compiled=1,
    )
