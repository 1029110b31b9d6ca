"""Texts as tokens, in this process or in one that does nothing else.

python -m posext.data.encoding TOKENIZER_FILE

This module imports little, so that many such processes take little memory and start fast.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from posext.data.lines import LINE_TYPE, lines

BATCH_CHARACTERS = 2**18  # encoded at once: an encoding takes some hundred bytes a token


class Encoded(NamedTuple):
    """Texts as tokens and as hashes of their lines, one text after the other."""

    tokens: bytes
    token_counts: list[int]
    lines: bytes
    line_counts: list[int]
    text_bytes: int


def token_type(vocab_size: int) -> type[np.unsignedinteger]:
    """Return the smallest type of a token for a vocabulary."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Encoded:
    """Encode texts, without special tokens."""
    dtype = token_type(tokenizer.get_vocab_size())
    ids: list[bytes] = []
    counts: list[int] = []
    for batch in batches(texts):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            counts.append(len(encoding.ids))
            ids.append(np.fromiter(encoding.ids, dtype, counts[-1]).tobytes())
    hashes = [lines(text) for text in texts]
    return Encoded(
        b"".join(ids),
        counts,
        b"".join(each.astype(LINE_TYPE).tobytes() for each in hashes),
        [len(each) for each in hashes],
        sum(len(text.encode()) for text in texts),
    )


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield texts in batches of some characters."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def write_result(file: IO[bytes], encoded: Encoded) -> None:
    """Write encoded texts: a line with the numbers, then the tokens and the lines."""
    sizes = len(encoded.tokens), len(encoded.lines)
    numbers = [*sizes, encoded.token_counts, encoded.line_counts, encoded.text_bytes]
    file.write(json.dumps(numbers).encode() + b"\n" + encoded.tokens + encoded.lines)
    file.flush()


def read_result(file: IO[bytes]) -> Encoded:
    """Read what `write_result` wrote. Raises EOFError if that is not all there."""
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    token_bytes, line_bytes, token_counts, line_counts, text_bytes = json.loads(line)
    tokens, hashes = file.read(token_bytes), file.read(line_bytes)
    if len(hashes) < line_bytes or len(tokens) < token_bytes:
        raise EOFError
    return Encoded(tokens, token_counts, hashes, line_counts, text_bytes)


def serve() -> None:
    """Encode lists of texts that arrive on stdin, a line of JSON each, until it is closed."""
    tokenizer = Tokenizer.from_file(sys.argv[1])
    with suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            write_result(sys.stdout.buffer, encode(tokenizer, json.loads(line)))


if __name__ == "__main__":
    serve()
