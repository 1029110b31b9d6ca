"""What training updates: the network under its scheme, and the optimizers."""

from typing import Any, NamedTuple

import torch
from accelerate import Accelerator

from posext.model.gpt import GPT
from posext.pe import PositionalEncoding
from posext.runs import parent
from posext.runs.run import Run
from posext.training import checkpoint, device
from posext.training.optimizer import make_optimizers
from posext.utils.rng import torch_stream


class Learner(NamedTuple):
    """The model and optimizers that training updates, plain and as prepared by accelerate."""

    accelerator: Accelerator
    model: GPT
    scheme: PositionalEncoding
    optimizers: list[torch.optim.Optimizer]
    network: torch.nn.Module  # the prepared model
    steppers: list[Any]  # the prepared optimizers


def make_learner(run: Run, vocab_size: int) -> tuple[Learner, int]:
    """Build the model and its optimizers on the devices of this process, as training left them.

    Returns:
        The learner, and the steps done: those of the newest checkpoint, if the run has one.
    """
    config = run.config
    accelerator = device.accelerator(config.precision)
    model = untrained(run, vocab_size)
    if config.init.path is not None:
        parent.load_weights(model, run)
    model = model.to(accelerator.device)
    scheme = model.pe
    optimizers = make_optimizers(model, config.optimizer, config.learning_rate)
    if device.should_compile(config.compile.lower(), config.steps):
        model.compile_parts()
    network, *steppers = accelerator.prepare(model, *optimizers)
    learner = Learner(accelerator, model, scheme, optimizers, network, steppers)
    done = checkpoint.restore(run.folder / "checkpoints", model, optimizers)
    if done == 0 and config.init.optimizer:
        checkpoint.load_optimizers(model, optimizers, parent.optimizer_tensors(run))
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
    """Tell a scheme the length reached and the progress at a step, and (seed, step) for draws."""
    reached = scheme.effective_length(run.schedule.trained_length_at(step))
    scheme.set_progress(trained_length=reached, progress=step / run.last_step, rng_key=rng_key)
