"""The operators that take most time in a training step, and in scoring a long context."""

from collections.abc import Callable
from typing import Any

import report
import torch
from setting import bf16, compose_config, network, training_steps
from torch.profiler import ProfilerActivity, profile

from posext.data import dataset

OPERATORS = 8  # number of operators to report


def shares(case: str, work: Callable[[], Any]) -> list[report.Row]:
    """The shares (%) of processor time of the costliest operators."""
    work()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=kinds) as profiler:
        work()
    events = [e for e in profiler.key_averages() if e.self_cpu_time_total]
    total = sum(e.self_cpu_time_total for e in events)
    events.sort(key=lambda e: -e.self_cpu_time_total)
    return [
        report.row(case, e.key, 100 * e.self_cpu_time_total / total, "%")
        for e in events[:OPERATORS]
    ]


def benchmark(model: str) -> list[report.Row]:
    """Shares of the processor's time, by operator."""
    config = compose_config(f"model={model}", "precision=bf16")
    accelerator = bf16()
    tokens = dataset.load_data(config.data, progress=False)
    steps = training_steps(config, tokens, network(config, tokens.vocab_size, "rope"), accelerator)
    ours = network(config, tokens.vocab_size, "rope").to(accelerator.device).eval()
    long_BT = torch.randint(tokens.vocab_size, (1, 4097), device=accelerator.device)

    def score() -> None:
        with torch.inference_mode(), accelerator.autocast():
            ours.target_nll(long_BT[:, :-1], long_BT[:, -64:])

    return shares(f"{model}, training step", lambda: steps(3)) + shares(
        f"{model}, scoring 4,096 tokens", score
    )


if __name__ == "__main__":
    report.run("profile_step", benchmark, model="tiny")
