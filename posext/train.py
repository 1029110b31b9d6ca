"""Train a small GPT on short sequences, then measure how far it extrapolates.

python -m posext.train +pe=yarn
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from omegaconf import DictConfig
from torch import Tensor

from posext import evaluate, hf
from posext.analysis import completeness, curves
from posext.cli import app
from posext.config import TrainConfig
from posext.data import dataset
from posext.data.batch import Corpus, in_words, load, training_batch, validation_batch
from posext.eval.corpora import plans_of
from posext.eval.curve import EvalPlan
from posext.hf.judge import check_judge
from posext.runs import tracking
from posext.runs.command_log import record_command
from posext.runs.learner import Learner, make_learner, set_stage
from posext.runs.lock import record_failure, run_lock
from posext.runs.naming import KEPT, run_name
from posext.runs.parent import check_parent
from posext.runs.run import OPTIMIZER, Run, claim, prepare_run, texts_of
from posext.training import checkpoint, device
from posext.training.micro_batches import accumulate, validate
from posext.training.optimizer import lr_at, set_learning_rate
from posext.training.progress import progress_bar, update_bar
from posext.training.throughput import throughput
from posext.training.tracing import traced
from posext.utils import signals
from posext.utils.atomic import write_tensors, write_text
from posext.utils.commit import commit
from posext.utils.errors import PosextError


def train(run: Run, tokens: Corpus, stop_asked: Callable[[], int] = lambda: 0) -> Any:
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
    last = run.last_step
    parent = hf.open_parent(config) if config.init.optimizer else None
    state = parent.folder / OPTIMIZER if parent else None
    learner, start = make_learner(run, hf.starting_network(run, tokens.vocab_size), state)
    learner.scheme.read_vocabulary(texts_of(tokens.tokenizer))
    main = learner.accelerator.is_main_process
    metrics = wandb_run = None
    if main:
        tokens.tokenizer.save(str(run.folder / "tokenizer.json"))
        metrics = tracking.open_metrics(run, start)
        wandb_run = tracking.start(run)
    speed = throughput(learner.model, config.model, learner.accelerator)
    seen = flops = 0
    for step in range(start):
        seen += run.tokens_at(step)
        flops += run.tokens_at(step) * speed.flops_per_token(lengths.length_at(step))
    bar = progress_bar(run.name, last, start, shown=main)

    for step in range(start, last):
        begin = time.perf_counter()
        done = step + 1
        with traced(run.folder / "trace", done, config.tracking.traced_steps if main else []):
            step_metrics = train_step(learner, run, tokens, step)
        length = lengths.length_at(step)
        seconds = time.perf_counter() - begin
        seen += run.tokens_at(step)
        flops += run.tokens_at(step) * speed.flops_per_token(length)
        counts = {"step": done, "tokens": seen, "length": length, "flops": float(flops)}
        figures = speed.figures(run.tokens_at(step), length, seconds)
        rows = [counts | step_metrics | figures]
        if done % config.validate_every == 0 or done == last:
            set_stage(learner.scheme, run, step, rng_key=None)
            at_least = learner.accelerator.num_processes
            held_out = validation_batch(tokens, config.data, length, at_least)
            loss = validate(learner.network, held_out, learner.accelerator)
            rows.append(counts | {"validation_loss": loss})
        tracking.write_rows(metrics, wandb_run, rows)
        signal = device.gather_signal(stop_asked(), learner.accelerator)
        if config.keep_every and done < last and done % config.keep_every == 0:
            keep(run, learner, tokens, done)
        if done < last and (signal or done % config.checkpoint_every == 0):
            save_checkpoint(run, done, learner, metrics)
            if signal:
                raise signals.Stop(signal, f"after step {done} of {last}, which is saved")
        update_bar(bar, step_metrics["loss"], length, figures["tokens_per_second"])

    bar.close()
    write_trained(run.folder, run, learner, tokens, last)
    if metrics is not None:
        metrics.close()
        tracking.mirror_weights(wandb_run, run)
        shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    learner.accelerator.wait_for_everyone()
    return wandb_run


def train_step(learner: Learner, run: Run, tokens: Corpus, step: int) -> dict[str, Any]:
    """Take one optimizer step and return its loss, learning rate and gradient norm.

    Raises FloatingPointError on a non-finite loss or norm, before the weights change.
    """
    config = run.config
    length = run.schedule.length_at(step)
    data_step = run.data_step(step)
    set_stage(learner.scheme, run, step, rng_key=(config.seed, data_step))
    learning_rate = lr_at(step, run.last_step, config.learning_rate, config.optimizer)
    set_learning_rate(learner.steppers, learning_rate)

    count = run.tokens_at(step) // length
    batch = training_batch(tokens, config.data, config.seed, data_step, length, count)
    loss = accumulate(learner.network, batch, config.micro_batch_tokens, learner.accelerator)
    parameters = learner.network.parameters()
    clipped = learner.accelerator.clip_grad_norm_(parameters, config.optimizer.clip)
    norm = float(cast(Tensor, clipped))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise FloatingPointError(non_finite(run, step, loss, norm, batch.origins))
    for stepper in learner.steppers:
        stepper.step()
        stepper.zero_grad()
    return {"loss": loss, "learning_rate": learning_rate, "grad_norm": norm}


def save_checkpoint(
    run: Run, done: int, learner: Learner, metrics: tracking.Metrics | None
) -> None:
    """Flush the metrics up to step `done`, then write its checkpoint. Call on every process."""
    if metrics is not None:
        metrics.keep()
    checkpoint.save(run.folder / "checkpoints", done, learner.model, learner.optimizers)


def non_finite(run: Run, step: int, loss: float, norm: float, origins: Sequence[str]) -> str:
    """Describe a step with a non-finite loss, its batch and the last checkpoint."""
    kept = sorted((run.folder / "checkpoints").glob("step-????????"))
    advice = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
    return (
        f"loss {loss}, gradient norm {norm} at step {step + 1}, "
        f"batch {origins[0]} .. {origins[-1]}; {advice}"
    )


def keep(run: Run, learner: Learner, tokens: Corpus, done: int) -> None:
    """Keep the weights and optimizer of a step, as a trained run of its own. Every process."""
    folder = run.folder / KEPT / f"{run.name}-step-{done}"
    if learner.accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.yaml", "tokenizer.json"):
            write_text(folder / name, (run.folder / name).read_text())
    write_trained(folder, run, learner, tokens, done)


def write_trained(folder: Path, run: Run, learner: Learner, tokens: Corpus, done: int) -> None:
    """Write what training leaves after `done` steps. Call on every process.

    With keep_every, the optimizer is written too. run.json, which marks the weights as trained, is
    last.
    """
    weights = checkpoint.weights(learner.model)
    optimizer = None
    if run.config.keep_every:
        optimizer = checkpoint.optimizer_tensors(learner.model, learner.optimizers)
    if not learner.accelerator.is_main_process:
        return
    version = hf.write_weights(run, folder, weights, done)
    if optimizer is not None:
        write_tensors(folder / OPTIMIZER, optimizer)
    metadata = {
        "steps": done,
        "parameters": learner.model.n_parameters(),
        "original_length": run.original_length,
        "trained_length": run.schedule.trained_length_at(done - 1),
        "scheme": learner.scheme.describe(),
        "data": tokens.fingerprint,
        "held_out_overlap": tokens.overlap,
        "weights": {"sha256": version},
        "commit": commit(),
        "torch": torch.__version__,
    }
    write_text(folder / "run.json", json.dumps(metadata, indent=2) + "\n")


def load_corpus(run: Run, processes: int, progress: bool) -> tuple[Corpus, list[EvalPlan] | None]:
    """Load the tokenized corpus of a run and plan its evaluation, before anything is written.

    Args:
        run: The run.
        processes: The number of processes that share a step.
        progress: Whether to show a bar while tokenizing.

    Returns:
        The corpus, and the plans of what to measure; None in their place with evaluate=false, and
        for an algorithmic task.

    Raises:
        PosextError: A step has fewer sequences than processes, no document is as long as the
            longest training length, the documents of a corpus are too short for its curve, or
            there is no judge of its key tokens.
    """
    for stage in run.schedule.stages:
        sequences = run.config.tokens_per_step // stage.length
        if sequences < processes:
            raise PosextError(
                f"{processes} processes cannot share {sequences} sequences "
                f"of {stage.length} tokens a step"
            )
    tokens = load(run.config.data, progress)
    training_batch(tokens, run.config.data, 0, 0, run.schedule.longest, 1)
    validation_batch(tokens, run.config.data, run.schedule.longest)
    if run.config.init.path is not None and not run.trained:
        check_parent(run, hf.open_parent(run.config), tokens)
    if not run.config.evaluate or not isinstance(tokens, dataset.Data):
        return tokens, None
    check_judge(run, tokens)
    return tokens, plans_of(run, tokens, progress)


def run_training(composed: DictConfig) -> float | None:
    """Train and measure a run, as far as that is not done yet.

    Returns the objective of a search, the loss at the longest context; None without evaluation.
    """
    config: TrainConfig = app.typed(composed)
    if config.init.path is not None:
        config = hf.inherit(config, app.chosen())
    config.check()
    config.name = config.name or run_name(config, app.overrides())
    state = PartialState()
    main = state.is_main_process
    run = hf.as_run(prepare_run(config, write=False))
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
    tokens, plans = load_corpus(run, state.num_processes, main)
    with run_lock(run, main), record_failure(run, main):
        with state.main_process_first():
            # again, as another process may have claimed the folder before the lock was acquired
            claim(run, asdict(run.config), write=main)
            if main:
                record_command(run.folder, "train", arguments)
        if not run.trained:  # another process may have trained it meanwhile
            if main:
                print(*in_words(tokens, run.config.data, run.schedule.longest), sep="\n")
            with signals.defer_signals() as stop_asked:
                wandb_run = train(run, tokens, stop_asked)
        if measurement_due(run):
            evaluate.measure_run(run, tokens, plans=plans, wandb_run=wandb_run)
        elif wandb_run is not None:
            wandb_run.finish()


def measurement_due(run: Run) -> bool:
    """Return whether a run is to be measured and has not been yet."""
    return run.config.evaluate and not completeness.is_measured(run)


def main() -> None:
    """Run the command posext-train."""
    app.entry("train", run_training)


if __name__ == "__main__":
    main()
