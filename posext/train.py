"""Train a small GPT on short sequences, then measure how far it extrapolates.

python -m posext.train +pe=yarn
"""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple, cast

import torch
from accelerate import Accelerator, PartialState
from omegaconf import DictConfig
from torch import Tensor

from posext import evaluate
from posext.analysis import curves
from posext.cli import app
from posext.config import TrainConfig
from posext.data import dataset
from posext.data.recall.mixing import batch
from posext.eval.curve import EvalPlan, plan_of
from posext.model.gpt import GPT
from posext.pe import PositionalEncoding
from posext.runs import tracking
from posext.runs.command_log import record_command
from posext.runs.lock import record_failure, run_lock
from posext.runs.run import Run, claim, commit, prepare_run, run_name
from posext.training import checkpoint, device
from posext.training.micro_batches import accumulate, validate
from posext.training.optimizer import lr_at, make_optimizers, set_learning_rate
from posext.training.progress import progress_bar, update_bar
from posext.utils import signals
from posext.utils.atomic import digest, write_tensors, write_text
from posext.utils.errors import PosextError
from posext.utils.rng import torch_stream

log = logging.getLogger(__name__)


class Learner(NamedTuple):
    """The model and optimizers that training updates, plain and as prepared by accelerate."""

    accelerator: Accelerator
    model: GPT
    scheme: PositionalEncoding
    optimizers: list[torch.optim.Optimizer]
    network: torch.nn.Module  # the prepared model
    steppers: list[Any]  # the prepared optimizers


def train(run: Run, tokens: dataset.Data, stop_asked: Callable[[], int] = lambda: 0) -> Any:
    """Train a run to its last step, from its newest checkpoint if it has one.

    Args:
        run: The run; its folder receives metrics, checkpoints, weights and run.json.
        tokens: The tokenized corpus.
        stop_asked: Returns the number of a received signal, or 0.

    Returns:
        The wandb run, still open for the curve; None without tracking or off the main process.

    Raises:
        FloatingPointError: The loss or gradient norm is not finite; the weights are unchanged.
        Stop: A signal arrived; a checkpoint of the current step is saved first.
    """
    config = run.config
    lengths = run.schedule
    learner = make_learner(run, tokens.vocab_size)
    main = learner.accelerator.is_main_process
    checkpoints = run.folder / "checkpoints"
    start = checkpoint.restore(checkpoints, learner.model, learner.optimizers)
    metrics = wandb_run = None
    if main:
        tokens.tokenizer.save(str(run.folder / "tokenizer.json"))
        metrics = tracking.Metrics(run.folder / "metrics.jsonl", start)
        wandb_run = tracking.start(run)
    seen = sum(tokens_at(config, lengths.length_at(step)) for step in range(start))
    bar = progress_bar(run.name, config.steps, start, shown=main)

    for step in range(start, config.steps):
        begin = time.perf_counter()
        step_metrics = train_step(learner, run, tokens, step)
        done = step + 1
        length = lengths.length_at(step)
        seen += tokens_at(config, length)
        rate = tokens_at(config, length) / (time.perf_counter() - begin)
        counts = {"step": done, "tokens": seen, "length": length}
        rows = [counts | step_metrics | {"tokens_per_second": round(rate)}]
        if done % config.validate_every == 0 or done == config.steps:
            set_stage(learner.scheme, run, step, rng_key=None)
            loss = validate(learner.network, tokens.validation, length, learner.accelerator)
            rows.append(counts | {"validation_loss": loss})
        tracking.write_rows(metrics, wandb_run, rows)
        signal = device.gather_signal(stop_asked(), learner.accelerator)
        if done < config.steps and (signal or done % config.checkpoint_every == 0):
            save_checkpoint(run, done, learner, metrics)
            if signal:
                raise signals.Stop(signal, f"after step {done} of {config.steps}, which is saved")
        update_bar(bar, step_metrics["loss"], length, rate)

    bar.close()
    weights = checkpoint.weights(learner.model)
    if main:
        finish(run, learner.model, weights, tokens)
    learner.accelerator.wait_for_everyone()
    return wandb_run


def make_learner(run: Run, vocab_size: int) -> Learner:
    """Build the untrained model and its optimizers, on the devices of this process."""
    config = run.config
    accelerator = device.accelerator(config.precision)
    model = untrained(run, vocab_size).to(accelerator.device)
    scheme = model.pe
    optimizers = make_optimizers(model, config.optimizer, config.learning_rate)
    if device.should_compile(config.compile.lower(), config.steps):
        model.compile_parts()
    network, *steppers = accelerator.prepare(model, *optimizers)
    return Learner(accelerator, model, scheme, optimizers, network, steppers)


def untrained(run: Run, vocab_size: int) -> GPT:
    """Build the network at initialization; with one seed, all schemes start from the same network.

    The network and the learned parts of a scheme are drawn from separate random streams.
    """
    with torch_stream(run.config.seed, "scheme"):
        model = GPT(run.config.model, vocab_size, run.scheme())
    return model.initialize(run.config.seed)


def train_step(learner: Learner, run: Run, tokens: dataset.Data, step: int) -> dict[str, Any]:
    """Take one optimizer step and return its loss, learning rate and gradient norm.

    Raises FloatingPointError on a non-finite loss or norm, before the weights change.
    """
    config = run.config
    length = run.schedule.length_at(step)
    set_stage(learner.scheme, run, step, rng_key=(config.seed, step))
    learning_rate = lr_at(step, config.steps, config.learning_rate, config.optimizer)
    set_learning_rate(learner.steppers, learning_rate)

    count = tokens_at(config, length) // length
    windows, origins = batch(tokens, config.data, config.seed, step, length, count)
    loss = accumulate(learner.network, windows, config.micro_batch_tokens, learner.accelerator)
    parameters = learner.network.parameters()
    clipped = learner.accelerator.clip_grad_norm_(parameters, config.optimizer.clip)
    norm = float(cast(Tensor, clipped))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise FloatingPointError(non_finite(run, step, loss, norm, origins))
    for stepper in learner.steppers:
        stepper.step()
        stepper.zero_grad()
    return {"loss": loss, "learning_rate": learning_rate, "grad_norm": norm}


def set_stage(
    scheme: PositionalEncoding, run: Run, step: int, rng_key: tuple[int, int] | None
) -> None:
    """Tell a scheme the length reached and the progress at a step, and (seed, step) for draws."""
    reached = scheme.effective_length(run.schedule.trained_length_at(step))
    scheme.set_progress(trained_length=reached, progress=step / run.config.steps, rng_key=rng_key)


def save_checkpoint(
    run: Run, done: int, learner: Learner, metrics: tracking.Metrics | None
) -> None:
    """Flush the metrics up to step `done`, then write its checkpoint. Call on every process."""
    if metrics is not None:
        metrics.keep()
    checkpoint.save(run.folder / "checkpoints", done, learner.model, learner.optimizers)


def tokens_at(config: TrainConfig, length: int) -> int:
    """Return the tokens of an optimizer step: whole sequences within `tokens_per_step`."""
    return config.tokens_per_step // length * length


def non_finite(run: Run, step: int, loss: float, norm: float, origins: list[str]) -> str:
    """Describe a step with a non-finite loss, its batch and the last checkpoint."""
    kept = sorted((run.folder / "checkpoints").glob("step-????????"))
    advice = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
    return (
        f"loss {loss}, gradient norm {norm} at step {step + 1}, "
        f"batch {origins[0]} .. {origins[-1]}; {advice}"
    )


def finish(run: Run, model: GPT, weights: dict[str, Tensor], tokens: dataset.Data) -> None:
    """Write the weights, then run.json, which marks the run as trained; drop its checkpoints."""
    write_tensors(run.folder / "model.safetensors", weights)
    metadata = {
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
    write_text(run.folder / "run.json", json.dumps(metadata, indent=2) + "\n")
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)


def load_corpus(run: Run, processes: int, progress: bool) -> tuple[dataset.Data, EvalPlan | None]:
    """Load the tokenized corpus of a run and plan its evaluation, before anything is written.

    Args:
        run: The run.
        processes: The number of processes that share a step.
        progress: Whether to show a bar while tokenizing.

    Returns:
        The corpus, and the plan of what to measure; None in its place with evaluate=false.

    Raises:
        PosextError: A step has fewer sequences than processes, no document is as long as the
            longest training length, or the held-out documents are too short for the curve.
    """
    lengths = run.schedule
    for _, length in lengths.stages:
        sequences = run.config.tokens_per_step // length
        if sequences < processes:
            raise PosextError(
                f"{processes} processes cannot share {sequences} sequences "
                f"of {length} tokens a step"
            )
    tokens = dataset.load_data(run.config.data, progress)
    for split in (tokens.train, tokens.validation):
        split.batch(0, 0, lengths.longest, 1)
    plan = plan_of(run, tokens) if run.config.evaluate else None
    return tokens, plan


def run_training(composed: DictConfig) -> float | None:
    """Train and measure a run, as far as that is not done yet.

    Returns the objective of a search, the loss at the longest context; None without evaluation.
    """
    config: TrainConfig = app.typed(composed)
    config.check()
    config.name = config.name or run_name(config, app.overrides())
    state = PartialState()
    main = state.is_main_process
    run = prepare_run(config, write=False)
    if not run.trained or measurement_due(run):
        complete(run, state, app.arguments())
    elif main:
        print(f"{run.folder} is done already")
    return curves.objective(run.folder / "curves.csv") if config.evaluate and main else None


def complete(run: Run, state: PartialState, arguments: list[str]) -> None:
    """Train a run unless it is trained, then measure it unless it is measured.

    Args:
        run: The run.
        state: The processes.
        arguments: What was typed to make it, for the log of its commands.
    """
    main = state.is_main_process
    wandb_run = None
    tokens, plan = load_corpus(run, state.num_processes, main)
    with run_lock(run, main), record_failure(run, main):
        with state.main_process_first():
            # again, as another process may have claimed the folder before the lock was acquired
            claim(run, asdict(run.config), write=main)
            if main:
                record_command(run.folder, "train", arguments)
        if not run.trained:  # another process may have trained it meanwhile
            if main:
                print(f"held-out text: {tokens.overlap_in_words()}")
            with signals.defer_signals() as stop_asked:
                wandb_run = train(run, tokens, stop_asked)
        if measurement_due(run):
            evaluate.measure_run(run, tokens, plan=plan, wandb_run=wandb_run)
        elif wandb_run is not None:
            wandb_run.finish()


def measurement_due(run: Run) -> bool:
    """Return whether a run is to be measured and has not been yet."""
    return run.config.evaluate and not evaluate.is_measured(run)


def main() -> None:
    """Run the command posext-train."""
    app.entry("train", run_training)


if __name__ == "__main__":
    main()
