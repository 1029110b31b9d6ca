"""Checkpoints of transformers, measured as our runs are: `python -m posext.evaluate model=hf model.path=FOLDER_OR_ID`."""

from posext.hf.checkpoint import Checkpoint, prepare

__all__ = ["Checkpoint", "prepare"]
