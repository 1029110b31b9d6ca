"""Train a small GPT at a short length, then measure how far it extrapolates: python -m posext.train +pe=yarn"""

import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import torch
from accelerate import Accelerator, PartialState
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from posext import evaluate
from posext.analysis import curves
from posext.cli import app
from posext.config import TrainConfig
from posext.data import dataset
from posext.data.recall.mixing import batch
from posext.eval.curve import plan_of
from posext.model.gpt import GPT
from posext.runs import tracking
from posext.runs.lock import record_failure, run_lock
from posext.runs.run import Run, commit, name_of, prepare_run
from posext.training import checkpoint, device
from posext.training.optimizer import adamw, lr_at
from posext.utils import signals
from posext.utils.atomic import digest, write_tensors, write_text
from posext.utils.errors import PosextError
from posext.utils.rng import torch_stream

log = logging.getLogger(__name__)
VALIDATION_TOKENS = 16384


def corpus_of(run: Run, processes: int, progress: bool) -> dataset.Data:
    """The tokenized corpus of a run. Raises PosextError, before anything is written, where it cannot give what the run needs.

    What is missing is said now, not hours later: a document as long as the longest length, or enough for the curve; or
    a sequence for each of the processes at every step.
    """
    lengths = run.schedule
    for _, length in lengths.stages:
        if (sequences := run.config.tokens_per_step // length) < processes:
            raise PosextError(
                f"{processes} processes cannot share {sequences} sequences of {length} tokens a step"
            )
    tokens = dataset.load_data(run.config.data, progress)
    for split in (tokens.train, tokens.validation):
        split.batch(0, 0, lengths.longest, 1)
    if run.config.evaluate:
        plan_of(run, tokens)
    return tokens


def train(run: Run, tokens: dataset.Data, stop_asked: Callable[[], int] = lambda: 0) -> Any:
    """Train a run to its end, from its newest checkpoint if it has one; what it left open on wandb, for its curve.

    Raises FloatingPointError on a non-finite loss, before the weights are touched, and Stop, with a checkpoint of the step
    at which it came, when told to stop.
    """
    config, lengths = run.config, run.schedule
    accelerator = device.accelerator(config.precision)
    main = accelerator.is_main_process

    model = untrained(run, tokens.vocab_size).to(accelerator.device)
    scheme = model.pe
    optimizer = adamw(model, config.learning_rate, config.optimizer)
    if device.should_compile(config.compile.lower(), config.steps):
        model.compile_parts()
    network, stepper = accelerator.prepare(model, optimizer)
    start = checkpoint.restore(run.folder / "checkpoints", model, optimizer)

    metrics = wandb_run = None
    if main:
        tokens.tokenizer.save(str(run.folder / "tokenizer.json"))
        metrics, wandb_run = (
            tracking.Metrics(run.folder / "metrics.jsonl", start),
            tracking.start(run),
        )
    every = 0.1 if sys.stderr.isatty() else 30.0  # seconds; a log file wants fewer lines
    bar = tqdm(
        desc=run.name,
        total=config.steps,
        initial=start,
        unit=" steps",
        mininterval=every,
        disable=not main,
    )
    seen = sum(tokens_at(config, lengths.length_at(step)) for step in range(start))

    for step in range(start, config.steps):
        begin = time.perf_counter()
        length = lengths.length_at(step)
        reached = scheme.effective_length(lengths.trained_length_at(step))
        scheme.set_progress(
            trained_length=reached, progress=step / config.steps, rng_key=(config.seed, step)
        )
        learning_rate = lr_at(step, config.steps, config.learning_rate, config.optimizer)
        for group in stepper.param_groups:
            group["lr"] = learning_rate

        windows, origins = batch(
            tokens, config.data, config.seed, step, length, tokens_at(config, length) // length
        )
        loss = accumulate(network, windows, config.micro_batch_tokens, accelerator)
        norm = float(
            cast(Tensor, accelerator.clip_grad_norm_(network.parameters(), config.optimizer.clip))
        )
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise FloatingPointError(non_finite(run, step, loss, norm, origins))
        stepper.step()
        stepper.zero_grad()

        done, seen = step + 1, seen + windows.shape[0] * length
        rate = windows.shape[0] * length / (time.perf_counter() - begin)
        row = {
            "step": done,
            "tokens": seen,
            "length": length,
            "loss": loss,
            "learning_rate": learning_rate,
        }
        rows: list[dict[str, Any]] = [row | {"grad_norm": norm, "tokens_per_second": round(rate)}]
        if done % config.validate_every == 0 or done == config.steps:
            scheme.set_progress(trained_length=reached, progress=step / config.steps)
            held_out = validate(network, tokens.validation, length, accelerator)
            rows.append(
                {"step": done, "tokens": seen, "length": length, "validation_loss": held_out}
            )
        if metrics is not None:
            for row in rows:
                metrics.write(row)
                tracking.mirror(wandb_run, row)
        signal = told_to_stop(stop_asked(), accelerator)
        if done < config.steps and (signal or done % config.checkpoint_every == 0):
            if metrics is not None:
                metrics.keep()
            checkpoint.save(run.folder / "checkpoints", done, model, optimizer)
            if signal:
                raise signals.Stop(signal, f"after step {done} of {config.steps}, which is saved")
        bar.set_postfix(
            loss=f"{loss:.3f}", length=length, tokens_per_second=f"{rate:,.0f}", refresh=False
        )
        bar.update()

    bar.close()
    weights = checkpoint.weights(model)
    if main:
        finish(run, model, weights, tokens)
    accelerator.wait_for_everyone()
    return wandb_run


def untrained(run: Run, vocab_size: int) -> GPT:
    """The network of a run as training finds it: for one seed all schemes start from the same network.

    The network and what a scheme learns are drawn from streams of their own.
    """
    with torch_stream(run.config.seed, "scheme"):
        model = GPT(run.config.model, vocab_size, run.scheme())
    return model.initialize(run.config.seed)


def told_to_stop(signal: int, accelerator: Accelerator) -> int:
    """The number of a signal that any of the processes was sent, the same on all of them; 0 where there was none."""
    if accelerator.num_processes == 1:
        return signal
    sent = cast(Tensor, accelerator.gather(torch.tensor([signal], device=accelerator.device)))
    return int(sent.max())


def tokens_at(config: TrainConfig, length: int) -> int:
    """Tokens of an optimizer step at a length: as many whole sequences as the budget holds."""
    return config.tokens_per_step // length * length


def accumulate(
    network: torch.nn.Module, windows: Tensor, micro_batch_tokens: int, accelerator: Accelerator
) -> float:
    """Gradients of the mean NLL over a whole step's windows, whatever the processes and micro-batches; that mean."""
    sequences, length = windows.shape[0], windows.shape[1] - 1
    mine = windows[accelerator.process_index :: accelerator.num_processes].to(accelerator.device)
    parts = mine.split(max(1, micro_batch_tokens // length))
    total = torch.zeros((), device=accelerator.device)
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        with nullcontext() if last else accelerator.no_sync(network):
            nll = network(part[:, :-1], part[:, 1:]) / (sequences * length)
            accelerator.backward(
                nll * accelerator.num_processes
            )  # processes average their gradients
        total += nll.detach()
    return float(cast(Tensor, accelerator.reduce(total, "sum")))


@torch.no_grad()
def validate(
    network: torch.nn.Module, split: dataset.Split, length: int, accelerator: Accelerator
) -> float:
    """Mean NLL of the same held-out windows at every call, run without the compiled graphs, which stay as they are."""
    count = max(accelerator.num_processes, VALIDATION_TOKENS // length)
    windows, _ = split.batch(0, 0, length, count)
    total = torch.zeros((), device=accelerator.device)
    with torch.compiler.set_stance("force_eager"):
        for part in windows[accelerator.process_index :: accelerator.num_processes].split(
            max(1, 4096 // length)
        ):
            part = part.to(accelerator.device)
            total += network(part[:, :-1], part[:, 1:])
    return float(cast(Tensor, accelerator.reduce(total, "sum"))) / (count * length)


def non_finite(run: Run, step: int, loss: float, norm: float, origins: list[str]) -> str:
    kept = sorted((run.folder / "checkpoints").glob("step-????????"))
    good = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
    return f"loss {loss}, gradient norm {norm} at step {step + 1}, batch {origins[0]} .. {origins[-1]}; {good}"


def finish(run: Run, model: GPT, weights: dict[str, Tensor], tokens: dataset.Data) -> None:
    """The weights, then what is worth knowing about them; run.json marks the run as trained."""
    write_tensors(run.folder / "model.safetensors", weights)
    record = {
        "steps": run.config.steps,
        "parameters": model.n_parameters(),
        "original_length": run.config.train_length,
        "trained_length": run.schedule.longest,
        "scheme": model.pe.describe(),
        "data": tokens.fingerprint,
        "held_out_overlap": tokens.overlap,
        "weights": {"sha256": digest(run.folder / "model.safetensors")},
        "commit": commit(),
        "torch": torch.__version__,
    }
    write_text(run.folder / "run.json", json.dumps(record, indent=2) + "\n")
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)


def job(composed: DictConfig) -> float | None:
    """Train and measure what of a run is not done yet; the objective of a search: its loss at the longest context."""
    config: TrainConfig = app.typed(composed)
    config.check()
    config.name = config.name or name_of(config, app.overrides())
    state, wandb_run = PartialState(), None
    run, main = prepare_run(config, write=False), state.is_main_process
    if not run.trained or (config.evaluate and not evaluate.measured(run)):
        tokens = corpus_of(run, state.num_processes, main)
        with run_lock(run, main), record_failure(run, main):
            with state.main_process_first():
                prepare_run(config, write=main)
            if not run.trained:  # another start may have ended it since
                if main:
                    print(f"held-out text: {tokens.overlap_in_words()}")
                with signals.defer_signals() as stop_asked:
                    wandb_run = train(run, tokens, stop_asked)
            if config.evaluate and not evaluate.measured(run):
                evaluate.measure(run, wandb_run=wandb_run)
            elif wandb_run is not None:
                wandb_run.finish()
    elif main:
        print(f"{run.folder} is done already")
    return (
        curves.objective(run.folder / "curves.csv")
        if config.evaluate and state.is_main_process
        else None
    )


def main() -> None:
    app.entry("train", job)


if __name__ == "__main__":
    main()
