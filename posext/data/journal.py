"""Shards of tokens that are whole or absent, whenever the process that writes them ends.

A shard is a stretch of tokens.bin and of the hashes of its lines, and a line of a journal, which is
written last, behind its own checksum, and has theirs. What no whole line of the journal stands for
is cut off when the journal is opened again.

    FOLDER.unfinished/tokens.bin
    FOLDER.journal/header.json, journal, lines.bin
"""

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from posext.data.lines import LINE_TYPE
from posext.data.place import Place
from posext.utils.atomic import write_text

UNFINISHED = ".unfinished"
WORK = ".journal"
CHECK_DIGITS = 9  # of a line of the journal, with the space behind them


class Shard(NamedTuple):
    """Parts of documents, one after the other, with the place behind them."""

    names: list[str]
    validation: list[bool]
    tokens: list[int]  # of each part
    lines: list[int]
    mark: Any  # of the place
    since: int
    done: int
    token_bytes: int
    token_check: int
    line_check: int
    text_bytes: int


class Part(NamedTuple):
    """A document, or a part of one, as the journal has it."""

    name: str
    validation: bool
    tokens: int
    lines: int


class Journal:
    """The shards of a corpus that is being tokenized.

    Opening it again goes on behind the last whole shard; with another header it starts anew.

    Args:
        folder: The folder of the finished corpus, beside which the files are written.
        header: What the tokens depend on, as JSON.
    """

    def __init__(self, folder: Path, header: Any):
        self.folder = folder.with_suffix(UNFINISHED)
        self.work = folder.with_suffix(WORK)
        text = json.dumps(header)
        known = self.work / "header.json"
        if not self.folder.is_dir() or not known.is_file() or known.read_text() != text:
            self.clear()
            self.folder.mkdir()
            self.work.mkdir()
            write_text(known, text)
        for cut_short in self.folder.glob(".*"):  # files that were being replaced
            cut_short.unlink()
        self.tokens = open_to_append(self.folder / "tokens.bin")
        self.lines = open_to_append(self.work / "lines.bin")
        self.journal = open_to_append(self.work / "journal")
        self.place = Place()
        self.text_bytes = 0
        self.token_count = 0
        self.cut_off()

    def cut_off(self) -> None:
        """Cut off what no whole line of the journal stands for."""
        size = 0
        with open(self.work / "journal", "rb") as file:
            for line in file:
                if not is_whole(line) or not self.holds(shard := shard_of(line)):
                    break
                size += len(line)
                self.passed(shard)
        self.journal.truncate(size)
        self.tokens.truncate(self.tokens.tell())
        self.lines.truncate(self.lines.tell())
        for opened in (self.tokens, self.lines, self.journal):
            opened.seek(0, os.SEEK_END)

    def holds(self, shard: Shard) -> bool:
        """Return whether the next tokens and lines are those of a shard; move behind them if so."""
        stretches = (
            (self.tokens, shard.token_bytes, shard.token_check),
            (self.lines, sum(shard.lines) * LINE_TYPE.itemsize, shard.line_check),
        )
        starts = [file.tell() for file, _, _ in stretches]
        for file, size, check in stretches:
            content = file.read(size)
            if len(content) != size or zlib.crc32(content) != check:
                for each, start in zip(stretches, starts, strict=True):
                    each[0].seek(start)
                return False
        return True

    def passed(self, shard: Shard) -> None:
        """Move the place behind a shard."""
        self.place = Place(shard.mark, shard.since, shard.done)
        self.text_bytes += shard.text_bytes
        self.token_count += sum(shard.tokens)

    def append(self, shard: Shard, tokens: bytes, lines: bytes) -> None:
        """Write a shard with its tokens and lines, its line in the journal last."""
        write_whole(self.tokens, tokens)
        write_whole(self.lines, lines)
        write_whole(self.journal, line_of(shard))
        self.passed(shard)

    def documents(self) -> Iterator[tuple[Part, int]]:
        """Yield the documents of all shards, whole again, and where their lines begin in lines.bin.

        Parts of one document follow one another.
        """
        start = 0
        for (name, validation), parts in groupby(self.parts(), lambda part: part[:2]):
            grouped = list(parts)
            lines = sum(part.lines for part in grouped)
            yield Part(name, validation, sum(part.tokens for part in grouped), lines), start
            start += lines

    def parts(self) -> Iterator[Part]:
        """Yield the parts of documents of all shards."""
        with open(self.work / "journal", "rb") as file:
            for line in file:
                shard = shard_of(line)
                yield from map(Part, shard.names, shard.validation, shard.tokens, shard.lines)

    def line_hashes(self, start: int, count: int) -> np.ndarray:
        """Return hashes of lines from lines.bin: uint64 (count,)."""
        offset = start * LINE_TYPE.itemsize
        hashes = np.fromfile(self.work / "lines.bin", LINE_TYPE, count, offset=offset)
        return hashes.astype(np.uint64, copy=False)

    def close(self) -> None:
        """Close the files."""
        for file in (self.tokens, self.lines, self.journal):
            file.close()

    def clear(self) -> None:
        """Delete all that there is."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def open_to_append(path: Path) -> BinaryIO:
    """Open a file for reading and writing, at its start; make it if it is not there."""
    path.touch()
    return open(path, "r+b", buffering=0)


def write_whole(file: BinaryIO, content: bytes) -> None:
    """Write to an unbuffered file, which may take part of the content at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def line_of(shard: Shard) -> bytes:
    """Return the line of the journal that a shard is."""
    content = json.dumps(shard).encode()
    return b"%08x %b\n" % (zlib.crc32(content), content)


def shard_of(line: bytes) -> Shard:
    """Return the shard of a line of the journal."""
    return Shard(*json.loads(line[CHECK_DIGITS:]))


def is_whole(line: bytes) -> bool:
    """Return whether a line of the journal is as it was written."""
    content = line[CHECK_DIGITS:].removesuffix(b"\n")
    return line == b"%08x %b\n" % (zlib.crc32(content), content)
