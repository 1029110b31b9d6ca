"""Files that are there whole or not at all, and the hashes that tell whether one still is as it was written."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place once it is on the disk; it goes where writing fails."""
    beside = path.with_name(f".{path.name}.unfinished")
    try:
        yield beside
        synced(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    synced(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a file whole."""
    with replacing(path) as beside:
        beside.write_text(text)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Replace a safetensors file whole. Raises OSError where it cannot be written."""
    with replacing(path) as beside:
        try:
            save_file(tensors, beside)
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """The digests of the files of a folder, by name."""
    return {path.name: digest(path) for path in sorted(folder.glob(pattern)) if path.is_file()}


def synced(path: Path) -> None:
    """Return once a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
