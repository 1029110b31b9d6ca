"""What training updates: the network under its scheme, and the optimizers."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from posext.model.gpt import GPT
from posext.pe import PositionalEncoding
from posext.runs.run import Run
from posext.training import checkpoint, device
from posext.training.optimizer import make_optimizers
from posext.utils.rng import torch_stream


class Learner(NamedTuple):
    """The model and optimizers that training updates, plain and as prepared by accelerate."""

    accelerator: Accelerator
    model: Any  # GPT, or the network of a checkpoint
    scheme: PositionalEncoding
    optimizers: list[torch.optim.Optimizer]
    network: torch.nn.Module  # the prepared model
    steppers: list[Any]  # the prepared optimizers


def make_learner(run: Run, start: Any, optimizer_state: Path | None = None) -> tuple[Learner, int]:
    """Put a network and its optimizers on the devices of this process, as training left them.

    Args:
        run: The run.
        start: The network as it is before the first step.
        optimizer_state: The file of its optimizer's state then; None for a new optimizer.

    Returns:
        The learner, and the steps done: those of the newest checkpoint, if the run has one.
    """
    config = run.config
    accelerator = device.accelerator(config.precision)
    model = start.to(accelerator.device)
    model.activation_checkpointing = config.activation_checkpointing
    scheme = model.pe
    optimizers = make_optimizers(model, config.optimizer, config.learning_rate)
    if device.should_compile(config.compile.lower(), run.last_step):
        model.compile_parts()
    network, *steppers = accelerator.prepare(model, *optimizers)
    learner = Learner(accelerator, model, scheme, optimizers, network, steppers)
    done = checkpoint.restore(run.folder / "checkpoints", model, optimizers)
    if done == 0 and optimizer_state is not None:
        checkpoint.load_optimizers(model, optimizers, load_file(optimizer_state))
    return learner, max(done, run.first_step)


def untrained(run: Run, vocab_size: int) -> GPT:
    """Build the network at initialization; with one seed, all schemes start from the same network.

    The network and the learned parts of a scheme are drawn from separate random streams.
    """
    with torch_stream(run.config.seed, "scheme"):
        model = GPT(run.config.model, vocab_size, run.scheme())
    return model.initialize(run.config.seed)


def set_stage(
    scheme: PositionalEncoding, run: Run, step: int, rng_key: tuple[int, int] | None
) -> None:
    """Tell a scheme the stage and the progress at a step, and (seed, step) for draws."""
    scheme.set_progress(
        trained_length=scheme.effective_length(run.schedule.trained_length_at(step)),
        progress=step / run.last_step,
        rng_key=rng_key,
        stage_window=run.schedule.window_at(step),
    )
