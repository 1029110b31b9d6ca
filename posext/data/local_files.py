"""Texts of local files: plain ones, and tables in JSON lines or parquet, read as a stream."""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from posext.data.place import Place
from posext.utils.errors import PosextError

TABLES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
FORMATS = (".txt", ".md", *TABLES)
BLOCK_BYTES = 2**20  # read at once from a text
ROWS_AT_ONCE = 256  # read from a parquet file


def is_table(path: Path) -> bool:
    """Return whether each row of a file is a document."""
    return path.name.endswith(TABLES)


def text_pieces(path: Path, place: Place | None = None) -> Iterator[str]:
    """Read a text file in pieces, with line ends as \\n.

    Raises PosextError if it is not UTF-8 text.
    """
    place = place or Place()
    bytes_decoder = codecs.getincrementaldecoder("utf-8")()
    decoder = io.IncrementalNewlineDecoder(bytes_decoder, translate=True)
    characters = 0
    before = place.done
    with open(path, "rb") as file:
        while True:
            block = file.read(BLOCK_BYTES)
            waiting = len(bytes_decoder.getstate()[0])  # bytes of a character begun before
            try:
                piece = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                where = file.tell() - len(block) - waiting + error.start
                reason = f"{error.reason} at byte {where}"
                raise PosextError(f"{path} is not UTF-8 text: {reason}") from error
            if "\0" in piece:
                where = characters + piece.index("\0")
                raise PosextError(f"{path} is not text: it holds a zero at character {where}")
            characters += len(piece)
            place.done = before + file.tell()
            if piece:
                yield piece
            if not block:
                return


def table_rows(path: Path, column: str, place: Place) -> Iterator[str]:
    """Yield a text column of a table, row by row. Raises PosextError if it cannot be read."""
    rows = parquet_rows if path.suffix == ".parquet" else json_rows
    for index, (value, valid) in enumerate(rows(path, column, place)):
        if valid is not None:
            raise PosextError(
                f"{path} has no column {column!r}; it has {', '.join(valid)} (data.column)"
            )
        if not isinstance(value, str):
            raise PosextError(
                f"{path} holds {value!r} in row {index} of column {column!r}, which is no text"
            )
        yield value


def json_rows(path: Path, column: str, place: Place) -> Iterator[tuple[Any, list[str] | None]]:
    """Yield the values of a column of JSON lines, or the columns that there are instead."""
    before = place.done
    with open(path, "rb") as raw, lines_of(path, raw) as lines:
        for index, line in enumerate(line for line in lines if not line.isspace()):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise PosextError(f"{path} cannot be read as json: row {index}: {error}") from error
            if not isinstance(row, dict):
                raise PosextError(f"{path} cannot be read as json: row {index} is no object")
            place.done = before + raw.tell()
            value = row.get(column)
            if isinstance(value, str) and not value.isascii():
                value = value.encode("utf-8", "replace").decode()  # half a pair is no character
            yield value, list(row) if index == 0 and column not in row else None


@contextmanager
def lines_of(path: Path, raw: BinaryIO) -> Iterator[Iterable[bytes]]:
    """Iterate over the lines of an open file, decompressed by its suffix.

    Raises PosextError if it is damaged.
    """
    try:
        with ExitStack() as stack:
            lines: Any = raw
            if path.suffix == ".gz":
                lines = stack.enter_context(gzip.open(raw))
            elif path.suffix == ".zst":
                stream: Any = pa.CompressedInputStream(pa.PythonFile(raw), "zstd")
                lines = stack.enter_context(io.BufferedReader(stream))
            yield lines
    except (EOFError, zlib.error, pa.ArrowException, OSError) as error:
        raise PosextError(f"{path} cannot be read as json: {error}") from error


def parquet_rows(path: Path, column: str, place: Place) -> Iterator[tuple[Any, list[str] | None]]:
    """Yield the values of a column of a parquet file, or the columns that there are instead."""
    before = place.done
    size = path.stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if column not in names:
                yield None, names
                return
            read = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                read += batch.num_rows
                place.done = before + size * read // file.metadata.num_rows
                for value in batch.column(0):
                    yield value.as_py(), None
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise PosextError(f"{path} cannot be read as parquet: {reason}") from error
