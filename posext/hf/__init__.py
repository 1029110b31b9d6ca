"""Checkpoints of transformers: `posext evaluate model=hf model.path=FOLDER_OR_ID`.

This package imports transformers only when a checkpoint is opened, because that import takes
seconds.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from posext.config import EvaluateConfig
from posext.runs import run as runs

if TYPE_CHECKING:
    from posext.data.dataset import Data
    from posext.hf.checkpoint import Checkpoint

__all__ = ["open_checkpoint", "open_run"]


def open_run(folder: Path | str) -> runs.Run:
    """Open a run folder: a run trained here, or a checkpoint measured there before.

    Raises PosextError as `posext.runs.run.load_run` does.
    """
    run = runs.load_run(folder)
    if run.config.model.path is None:
        return run
    from posext.hf.checkpoint import Checkpoint

    return Checkpoint(run.folder, run.config)


def open_checkpoint(config: EvaluateConfig) -> "tuple[Checkpoint, Data]":
    """Claim the run folder of a checkpoint: see `posext.hf.checkpoint.prepare_checkpoint`."""
    from posext.hf import checkpoint

    return checkpoint.prepare_checkpoint(config)
