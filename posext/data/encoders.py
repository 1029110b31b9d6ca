"""Processes that encode texts, one for each core."""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from tokenizers import Tokenizer

from posext.data.encoding import Encoded, encode, read_result

Item = TypeVar("Item")
WAITING = 2  # lists of texts that wait for a process, beside those that are encoded


class Encoder:
    """A process that encodes lists of texts; it ends with this one, however this one ends."""

    def __init__(self, tokenizer_file: Path):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "posext.data.encoding", str(tokenizer_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ
            | {"TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,  # Ctrl-C is for the process that waits for this one
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.texts, self.results = self.process.stdin, self.process.stdout

    def encode(self, texts: list[str]) -> Encoded:
        """Encode texts. Raises OSError if the process has ended, as for lack of memory."""
        try:
            self.texts.write(json.dumps(texts).encode() + b"\n")
            self.texts.flush()
            return read_result(self.results)
        except (BrokenPipeError, EOFError) as error:
            code = self.process.wait()
            raise OSError(f"a process that tokenizes has ended with code {code}") from error

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.results.close()
        with suppress(BrokenPipeError):  # texts that it did not take
            self.texts.close()


def encode_all(
    items: Iterable[tuple[Item, list[str]]], tokenizer: Tokenizer, tokenizer_file: Path
) -> Generator[tuple[Item, Encoded]]:
    """Encode lists of texts on all cores, in order, each with an item that goes along.

    A single list is encoded in this process, as others take a moment to start.

    Args:
        items: Each item with its texts; they are read as they are needed.
        tokenizer: The tokenizer.
        tokenizer_file: The same in a file.
    """
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if len(first) < 2:
        yield from ((item, encode(tokenizer, texts)) for item, texts in first)
        return
    count = cores()
    waiting: deque[tuple[Item, Future[Encoded]]] = deque()
    with ExitStack() as stack:
        idle: SimpleQueue[Encoder] = SimpleQueue()
        for _ in range(count):
            idle.put(stack.enter_context(closing(Encoder(tokenizer_file))))
        pool = ThreadPoolExecutor(count)
        # before the processes are closed: its threads wait for them
        stack.callback(pool.shutdown, cancel_futures=True)
        for item, texts in chain(first, remaining):
            waiting.append((item, pool.submit(encode_by_any, idle, texts)))
            if len(waiting) >= count + WAITING:
                yield result_of(waiting.popleft())
        while waiting:
            yield result_of(waiting.popleft())


def result_of(entry: "tuple[Item, Future[Encoded]]") -> tuple[Item, Encoded]:
    """Wait for the texts of an item."""
    item, future = entry
    return item, future.result()


def encode_by_any(idle: "SimpleQueue[Encoder]", texts: list[str]) -> Encoded:
    """Encode texts in the next idle process."""
    encoder = idle.get()
    try:
        return encoder.encode(texts)
    finally:
        idle.put(encoder)


def cores() -> int:
    """Return the number of cores that this process may use."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
