"""Training steps a second: ours against transformers' Trainer, same shape, precision, batch and corpus, in one process."""

import logging
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import report
import torch
import transformers
from paired import interleaved, speedup
from setting import as_llama, bf16, config_of, flops_per_token, matmul_peak, network, steps_of

from posext import data


def of_trainer(config: Any, tokens: data.Data, model: Any, steps: int, compiled: bool) -> Callable[[], float]:
    """A Trainer's own loop over batches that lie ready in memory; seconds a step, the first one left out."""
    stamps: list[float] = []

    class Stamp(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

    count = config.tokens_per_step // config.train_length
    windows, _ = tokens.train.batch(config.seed, 0, config.train_length, count * (steps + 1))
    rows = [{"input_ids": row, "labels": row} for row in windows[:, :-1]]
    arguments = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=count, max_steps=steps + 1, bf16=True,
        use_cpu=not torch.cuda.is_available(), report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
        torch_compile=compiled, max_grad_norm=config.optimizer.clip,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[Stamp()])
    trainer.remove_callback(transformers.PrinterCallback)

    def seconds() -> float:
        stamps.clear()
        trainer.train()
        return float(np.mean(np.diff(stamps)))

    return seconds


def benchmark(repeats: int, models: str) -> list[report.Row]:
    """Ratios of tokens a second, and the share of the machine's own bf16 matrix peak."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    rows = []
    for name in models.split(","):
        config = config_of(f"model={name}", "precision=bf16")
        tokens = data.load(config.data, progress=False)
        accelerator, steps = bf16(), 6 if name in ("nano", "tiny") else 2
        ours = network(config, tokens.vocab_size, "rope")
        step = steps_of(config, tokens, ours, accelerator)
        peaks: list[float] = []

        def us(step: Callable[[int], float] = step, steps: int = steps, peaks: list[float] = peaks) -> float:
            peaks.append(matmul_peak(torch.bfloat16, accelerator.device))  # noqa: B023
            return step(steps)

        cases = {"ours": us}
        for compiled in (False, True):
            theirs = as_llama(config, ours)
            cases[f"Trainer{', compiled' * compiled}"] = of_trainer(config, tokens, theirs, steps, compiled)
        seconds = interleaved(cases, repeats)
        batch = config.tokens_per_step // config.train_length * config.train_length
        for case in cases:
            rows.append(report.row(f"{name}, {case}", "training", batch / seconds[case].to_numpy(), "tokens/s"))
        for case in list(cases)[1:]:
            rows.append(report.row(f"{name}, ours against {case}", "speed", speedup(seconds, "ours", case), "times"))
        peak = np.array(peaks[1:])
        used = batch * flops_per_token(ours, config.train_length) / seconds["ours"].to_numpy()
        rows.append(report.row(name, "bf16 matrix peak", peak / 1e9, "GFLOP/s"))
        rows.append(report.row(f"{name}, ours", "share of the matrix peak", used / peak.max()))
    return rows


if __name__ == "__main__":
    report.run("train_throughput", benchmark, repeats=5, models="tiny,small")
