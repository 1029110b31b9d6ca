"""Events of TensorBoard, a mirror of metrics.jsonl and of the headline curve: tensorboard/."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = "tensorboard"
FLUSHED_AFTER = 10  # seconds


class Events:
    """Events in a folder, which is emptied first. Values are kept as float64.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path):
        from torch.utils.tensorboard import SummaryWriter  # an extra, posext[tensorboard]

        shutil.rmtree(folder, ignore_errors=True)
        self.writer: Any = SummaryWriter(str(folder), flush_secs=FLUSHED_AFTER)

    def write(self, at: int, values: Mapping[str, float]) -> None:
        """Add values, by tag, at a step or another whole number."""
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, at, new_style=True, double_precision=True)

    def close(self) -> None:
        """Write what is left to disk."""
        self.writer.close()


def write_all(folder: Path, points: Iterable[tuple[int, Mapping[str, float]]]) -> Events:
    """Fill a folder with points of (step, values by tag); return its events, to be continued."""
    events = Events(folder)
    for at, values in points:
        events.write(at, values)
    return events


def write_curve(run_folder: Path, extension: str, curve: pd.DataFrame) -> None:
    """Write a curve against context length, in place of a former one of the same extension.

    Args:
        run_folder: The folder of the run.
        extension: The extension's name; empty for the run as trained.
        curve: Rows of curves.csv, of one protocol. Undefined lengths are left out.
    """
    rows = curve.dropna(subset=["nll"]).to_dict("records")
    points = [
        (row["context_length"], {f"eval/{key}": row[key] for key in ("nll", "perplexity")})
        for row in rows
    ]
    name = f"curve-{extension}" if extension else "curve"
    write_all(run_folder / FOLDER / name, points).close()
