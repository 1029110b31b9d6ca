"""Files of a run as artifacts on wandb, which keeps the versions of each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from posext.runs.run import Run

DATA_FOLDER = "WANDB_DATA_DIR"  # the variable that says where wandb copies files to
LONGEST_NAME = 128  # characters of an artifact's name


def log_measurement(wandb_run: Any, run: Run, page: Path) -> None:
    """Log the curves and the page of a run, which wandb copies."""
    tables = [run.folder / name for name in ("curves.csv", "accuracy.csv")]
    files = [*filter(Path.is_file, tables), page]
    log_files(wandb_run, run, "curves", files, policy="mutable")


def log_weights(wandb_run: Any, run: Run) -> None:
    """Log the trained weights with what loads them, which wandb reads where they are."""
    names = ("model.safetensors", "config.yaml", "tokenizer.json", "run.json")
    files = [file for name in names if (file := run.folder / name).is_file()]
    log_files(wandb_run, run, "model", files, policy="immutable")


def log_files(wandb_run: Any, run: Run, kind: str, files: list[Path], policy: Any) -> None:
    """Log files of a run as the artifact NAME-KIND of the type `kind`."""
    import wandb

    artifact = wandb.Artifact(f"{run.name}-{kind}"[-LONGEST_NAME:], type=kind)
    with copies_in(run.folder / "wandb"):
        for file in files:
            artifact.add_file(str(file), policy=policy)
        wandb_run.log_artifact(artifact)


@contextmanager
def copies_in(folder: Path) -> Iterator[None]:
    """Make wandb copy files into a folder, not the user's home, unless the user names another."""
    if DATA_FOLDER in os.environ:
        yield
        return
    os.environ[DATA_FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[DATA_FOLDER]
