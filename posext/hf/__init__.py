"""Checkpoints of transformers: `posext evaluate model=hf model.path=FOLDER_OR_ID`.

This package imports transformers only when a checkpoint is opened, because that import takes
seconds.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from posext.config import EvaluateConfig, TrainConfig
from posext.runs import inheritance, learner, parent
from posext.runs import run as runs
from posext.utils.atomic import digest, write_tensors

if TYPE_CHECKING:
    from posext.data.dataset import Data
    from posext.hf.checkpoint import Checkpoint

__all__ = [
    "inherit",
    "open_checkpoint",
    "open_parent",
    "open_run",
    "starting_network",
    "write_weights",
]


def open_run(folder: Path | str) -> runs.Run:
    """Open a run folder: a run trained here, or a checkpoint measured or continued there before.

    Raises PosextError as `posext.runs.run.load_run` does.
    """
    return as_run(runs.load_run(folder))


def as_run(run: runs.Run) -> runs.Run:
    """The same run, with the methods of a checkpoint if it is one."""
    if run.config.model.path is None:
        return run
    from posext.hf.checkpoint import Checkpoint
    from posext.hf.continued import ContinuedCheckpoint

    kind = Checkpoint if run.config.init.path is None else ContinuedCheckpoint
    return kind(run.folder, run.config)


def open_checkpoint(config: EvaluateConfig) -> "tuple[Checkpoint, Data]":
    """Claim the run folder of a checkpoint: see `posext.hf.checkpoint.prepare_checkpoint`."""
    from posext.hf import checkpoint

    return checkpoint.prepare_checkpoint(config)


def open_parent(config: TrainConfig) -> runs.Run:
    """Open the run, or the checkpoint of transformers, that `init.path` names.

    Raises PosextError if there is none, or it is not trained to its end.
    """
    folder = Path(str(config.init.path)).expanduser()
    is_run = (folder / "config.yaml").is_file()
    if is_run or (folder.is_dir() and not (folder / "config.json").is_file()):
        run = open_run(parent.parent_folder(config.init))
        if run.config.model.path is None or run.config.init.path is not None:
            return run
    from posext.hf.continued import untouched

    return untouched(config, str(run.config.model.path if is_run else config.init.path))


def inherit(config: TrainConfig, chosen: Collection[str]) -> TrainConfig:
    """Return a config with the settings of its parent: see `posext.runs.inheritance`."""
    opened = open_parent(config)
    continued = inheritance.inherit(config, opened, chosen)
    if opened.config.model.path is None:
        return continued
    from posext.hf.continued import with_defaults

    return with_defaults(continued, opened, chosen)


def starting_network(run: runs.Run, vocab_size: int) -> Any:
    """Build the network of a run as it is before the first step."""
    if run.config.model.path is not None:
        from posext.hf.continued import starting_checkpoint

        return starting_checkpoint(run, open_parent(run.config))
    model = learner.untrained(run, vocab_size)
    if run.config.init.path is not None:
        parent.load_weights(model, open_parent(run.config))
    return model


def write_weights(run: runs.Run, folder: Path, weights: dict[str, Tensor], done: int) -> str:
    """Write the weights of a run after `done` steps; return what identifies them."""
    if run.config.model.path is not None:
        from posext.hf.continued import write_checkpoint

        length = run.schedule.trained_length_at(done - 1)
        return write_checkpoint(run, folder, weights, length)
    write_tensors(folder / "model.safetensors", weights)
    return digest(folder / "model.safetensors")
