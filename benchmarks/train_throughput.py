"""Training throughput: ours beside the Trainer of transformers, in turns.

Both have the same shape, precision, batch and corpus.
"""

import logging
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import report
import torch
import transformers
from paired import apart, interleaved, speedup
from setting import (
    as_llama,
    bf16,
    compose_config,
    flops_per_token,
    matmul_peak,
    network,
    training_steps,
)

from posext.config import TrainConfig
from posext.data import dataset
from posext.model.gpt import GPT


def steps_per_timing(model: str) -> int:
    """The number of training steps of one timing."""
    return 6 if model in ("nano", "tiny") else 2


def ours(model: str) -> Callable[[], float]:
    """Our training, compiled: a function that returns seconds a step."""
    config = compose_config(f"model={model}", "precision=bf16")
    tokens = dataset.load_data(config.data, progress=False)
    train_steps = training_steps(config, tokens, network(config, tokens.vocab_size, "rope"), bf16())
    return lambda: train_steps(steps_per_timing(model))


def trainer(model: str, compiled: bool) -> Callable[[], float]:
    """The loop of a Trainer over batches in memory: a function that returns seconds a step."""
    config = compose_config(f"model={model}", "precision=bf16")
    steps = steps_per_timing(model)
    tokens = dataset.load_data(config.data, progress=False)
    count = config.tokens_per_step // config.train_length
    windows, _ = tokens.train.batch(config.seed, 0, config.train_length, count * (steps + 1))
    ours = network(config, tokens.vocab_size, "rope")
    return trainer_loop(config, ours, windows, steps, compiled)


def trainer_loop(
    config: TrainConfig, ours: GPT, windows: torch.Tensor, steps: int, compiled: bool
) -> Callable[[], float]:
    """A Trainer of a network in transformers' form: a function that returns seconds a step.

    The first step is left out.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    stamps: list[float] = []

    class Stamp(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

    rows: Any = [{"input_ids": row, "labels": row} for row in windows[:, :-1]]
    count = config.tokens_per_step // config.train_length
    per_pass = max(1, min(config.micro_batch_tokens, config.tokens_per_step) // config.train_length)
    arguments = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=per_pass,
        gradient_accumulation_steps=max(1, count // per_pass),
        max_steps=steps + 1,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        torch_compile=compiled,
        max_grad_norm=config.optimizer.clip,
    )
    llama = as_llama(config, ours)
    hf_trainer = transformers.Trainer(llama, arguments, train_dataset=rows, callbacks=[Stamp()])
    hf_trainer.remove_callback(transformers.PrinterCallback)

    def seconds() -> float:
        stamps.clear()
        hf_trainer.train()
        return float(np.mean(np.diff(stamps)))

    return seconds


def benchmark(repeats: int, models: str) -> list[report.Row]:
    """Ratios of tokens a second, and the share of the machine's bf16 matrix peak."""
    rows = []
    device = bf16().device
    for name in models.split(","):
        cases = {
            "peak": lambda: 1 / matmul_peak(torch.bfloat16, device),
            "ours": apart(ours, name),
            "Trainer": apart(trainer, name, False),
            "Trainer, compiled": apart(trainer, name, True),
        }
        seconds = interleaved(cases, repeats)
        config = compose_config(f"model={name}")
        model = network(config, dataset.load_data(config.data, progress=False).vocab_size, "rope")
        batch = config.tokens_per_step // config.train_length * config.train_length
        rate = batch / seconds
        peak = 1 / seconds["peak"].to_numpy()
        share = rate["ours"].to_numpy() * flops_per_token(model, config.train_length) / peak.max()
        rows += [
            report.row(f"{name}, {case}", "training", rate[case], "tokens/s")
            for case in list(cases)[1:]
        ]
        rows += [
            report.row(
                f"{name}, ours against {case}", "speed", speedup(seconds, "ours", case), "times"
            )
            for case in list(cases)[2:]
        ]
        rows.append(report.row(name, "bf16 matrix peak", peak / 1e9, "GFLOP/s"))
        rows.append(report.row(f"{name}, ours", "share of the matrix peak", share))
    return rows


if __name__ == "__main__":
    report.run("train_throughput", benchmark, repeats=5, models="tiny,small")
