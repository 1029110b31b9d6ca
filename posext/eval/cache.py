"""What a measurement has so far, on disk, so that one that is stopped goes on at the next context length."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import broadcast_object_list

from posext.utils.atomic import replacing

MEASURING = (
    "measuring"  # the folder, in that of a run; it goes once all is written that measuring leaves
)
Scored = tuple[list[np.ndarray], float, int]  # NLL of every window's labels, seconds, peak bytes


class EvalCache:
    """Passes of one measurement, a file each, named by all that their numbers depend on; asked for on every process."""

    def __init__(self, folder: Path, main: bool, **about: Any):
        self.folder, self.main, self.about = folder, main, about

    def file(self, scheme: Any, protocol: str, length: int, windows: list[Any]) -> Path:
        key = json.dumps(
            [self.about, scheme, protocol, length, repr(windows)], sort_keys=True, default=str
        )
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"

    def read(self, file: Path) -> Scored | None:
        """What was kept, as the main process has it; None where nothing was, or where it is damaged."""
        found = [load(file) if self.main else None]
        return broadcast_object_list(found)[0]

    def write(self, file: Path, scored: Scored) -> None:
        if self.main:
            nll, seconds, peak = scored
            self.folder.mkdir(exist_ok=True)
            with replacing(file) as beside, open(beside, "wb") as open_file:
                sizes = np.array([len(values) for values in nll])
                np.savez(
                    open_file, nll=np.concatenate(nll), sizes=sizes, cost=np.array([seconds, peak])
                )

    def drop(self) -> None:
        """Forget them all."""
        if self.main:
            shutil.rmtree(self.folder, ignore_errors=True)


def load(file: Path) -> Scored | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            nll = np.split(kept["nll"], np.cumsum(kept["sizes"])[:-1])
            return nll, float(kept["cost"][0]), int(kept["cost"][1])
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
    ):  # the archive checks its own sums
        return None
