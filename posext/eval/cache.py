"""Cache of scored windows, in memory and on disk.

In memory it spares a second measurement of two schemes that agree at a length. On disk it lets an
interrupted measurement continue at the next context length.
"""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from posext.eval.scoring import TargetWindow
from posext.pe import PositionalEncoding
from posext.utils.atomic import replacing

# Folder of the cache inside the folder of a run. It is deleted once all results are written.
MEASURING = "measuring"
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)  # errors of a damaged file


class ScoredWindows(NamedTuple):
    """NLL in nats of the labels of every window, and the cost of computing it."""

    nll: list[np.ndarray]
    seconds: float
    peak_bytes: int


class MeasuredWindows(NamedTuple):
    """Scored windows of one scheme, with modifiers, in one place at one context length.

    A place is a protocol on a corpus.
    """

    scheme: PositionalEncoding | None
    modifiers: Mapping[str, Any]
    place: str
    length: int
    scored: ScoredWindows


class EvalCache:
    """Scored windows of one measurement, the same on every process.

    On disk each (scheme, place, context length) is a file, whose name is a digest of everything
    that its numbers depend on.

    Args:
        folder: Folder of the files, created at the first write.
        is_main_process: Whether this process reads and writes the files.
        **key_fields: What all numbers depend on, beside scheme, place, length and windows.
    """

    def __init__(self, folder: Path, is_main_process: bool, **key_fields: Any):
        self.folder = folder
        self.is_main_process = is_main_process
        self.key_fields = key_fields
        self.in_memory: list[MeasuredWindows] = []

    def find_same_rotation(
        self,
        scheme: PositionalEncoding | None,
        modifiers: Mapping[str, Any],
        place: str,
        length: int,
        windows: Sequence[TargetWindow],
    ) -> ScoredWindows | None:
        """Scored windows in memory of a scheme with the same rotation for all the windows.

        The settings of its modifiers are the same too. A window may be shorter or longer than the
        context length of its protocol.
        """
        key = (modifiers, place, length)
        lengths = {window.length for window in windows}
        for measured in self.in_memory:
            if measured[1:4] == key and all(
                same_rotation(measured.scheme, scheme, read) for read in lengths
            ):
                return measured.scored
        return None

    def remember(self, measured: MeasuredWindows) -> None:
        """Keep scored windows in memory."""
        self.in_memory.append(measured)

    def file(
        self, settings: dict[str, Any], place: str, length: int, windows: Sequence[TargetWindow]
    ) -> Path:
        """Path of the scored windows of a scheme and its modifiers, given by their settings."""
        key = json.dumps(
            [self.key_fields, settings, place, length, repr(windows)],
            sort_keys=True,
            default=str,
        )
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"

    def read(self, file: Path) -> ScoredWindows | None:
        """Scored windows read by the main process; None if the file is missing or damaged."""
        shared = [load_scored(file) if self.is_main_process else None]
        return broadcast_object_list(shared)[0]

    def write(self, file: Path, scored: ScoredWindows) -> None:
        """Write scored windows, on the main process only."""
        if not self.is_main_process:
            return
        self.folder.mkdir(exist_ok=True)
        with replacing(file) as beside, open(beside, "wb") as open_file:
            sizes = np.array([len(values) for values in scored.nll])
            cost = np.array([scored.seconds, scored.peak_bytes])
            np.savez(open_file, nll=np.concatenate(scored.nll), sizes=sizes, cost=cost)

    def drop(self) -> None:
        """Delete all files."""
        if self.is_main_process:
            shutil.rmtree(self.folder, ignore_errors=True)


def load_scored(file: Path) -> ScoredWindows | None:
    """Scored windows of a file; None if it is missing or damaged (the archive has checksums)."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            nll = np.split(archive["nll"], np.cumsum(archive["sizes"])[:-1])
            seconds = float(archive["cost"][0])
            peak_bytes = int(archive["cost"][1])
    except DAMAGE:
        return None
    return ScoredWindows(nll, seconds, peak_bytes)


def same_rotation(
    one: PositionalEncoding | None, other: PositionalEncoding | None, length: int
) -> bool:
    """Whether two schemes without parameters act alike at a length, by equal rotations.

    They are of one class, or both do nothing but rotate.
    """
    if one is None or other is None or one.state_dict() or other.state_dict():
        return False
    if type(one) is not type(other) and not (only_rotates(one) and only_rotates(other)):
        return False
    rotation = one.rotation(one.positions(length), length)
    other_rotation = other.rotation(other.positions(length), length)
    if rotation is None or other_rotation is None:
        return False
    return all(
        tensor is its_other is None
        or (tensor is not None and its_other is not None and torch.equal(tensor, its_other))
        for tensor, its_other in zip(rotation, other_rotation, strict=True)
    )


def only_rotates(scheme: PositionalEncoding) -> bool:
    """Whether a scheme acts on the network by the same rotation in every layer, and else not."""
    others = ("layers", "embed", "bias", "make_layer_module", "tables", "positions")
    return all(getattr(type(scheme), name) is getattr(PositionalEncoding, name) for name in others)
