"""Atomic files, complete or absent, and SHA-256 digests that tell whether a file changed."""

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
    """Yield a temporary sibling of `path` to write to.

    On success the sibling is synced to disk and renamed over `path`; on failure it is deleted.
    """
    temporary = path.with_name(f".{path.name}.unfinished")
    try:
        yield temporary
        synced(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    synced(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Replace a safetensors file atomically. Raises OSError if it cannot be written."""
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """Return the digests of the files in a folder that match a pattern, by file name."""
    return {path.name: digest(path) for path in sorted(folder.glob(pattern)) if path.is_file()}


def synced(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
