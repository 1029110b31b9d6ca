"""What the time of a training step, and of scoring a long context, goes to: the operators that take most of it."""

from collections.abc import Callable
from typing import Any

import report
import torch
from setting import bf16, config_of, network, steps_of
from torch.profiler import ProfilerActivity, profile

from posext.data import dataset

MOST = 8


def shares(case: str, work: Callable[[], Any]) -> list[report.Row]:
    work()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=kinds) as seen:
        work()
    events = [e for e in seen.key_averages() if e.self_cpu_time_total]
    total = sum(e.self_cpu_time_total for e in events)
    events.sort(key=lambda e: -e.self_cpu_time_total)
    return [
        report.row(case, e.key, 100 * e.self_cpu_time_total / total, "%") for e in events[:MOST]
    ]


def benchmark(model: str) -> list[report.Row]:
    """Shares of the processor's time, by operator."""
    config, accelerator = config_of(f"model={model}", "precision=bf16"), bf16()
    tokens = dataset.load_data(config.data, progress=False)
    steps = steps_of(config, tokens, network(config, tokens.vocab_size, "rope"), accelerator)
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
