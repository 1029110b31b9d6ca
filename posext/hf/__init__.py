"""Checkpoints of transformers, measured as our runs are: `posext evaluate model=hf model.path=FOLDER_OR_ID`.

Nothing here imports transformers before it is needed, which takes seconds.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from posext.config import EvaluateConfig
from posext.runs import run as runs

if TYPE_CHECKING:
    from posext.hf.checkpoint import Checkpoint

__all__ = ["open_run", "prepare"]


def open_run(folder: Path | str) -> runs.Run:
    """The run in a folder, or the checkpoint that was measured there. Raises PosextError as `posext.runs.run.load` does."""
    run = runs.load_run(folder)
    if run.config.model.path is None:
        return run
    from posext.hf.checkpoint import Checkpoint

    return Checkpoint(run.folder, run.config)


def prepare(config: EvaluateConfig) -> "Checkpoint":
    """The folder of a checkpoint on some data: see `posext.hf.checkpoint.prepare`."""
    from posext.hf import checkpoint

    return checkpoint.prepare_checkpoint(config)
