"""Speed and memory of making a corpus, against the library `tokenizers` on the same texts.

Theirs reads the texts and encodes them on all cores, a thousand at once, and keeps nothing. Ours is
a whole first start: it reads the texts, looks for copies, trains no tokenizer (both load the same
file), encodes, and writes tokens, names and what held-out lines stand in training.
"""

import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import paired
import report
from tokenizers import Tokenizer

from posext.config import TextData
from posext.data import tokenizer
from posext.data.dataset import load_data

VOCABULARY = 8192
WORDS = 50_000  # of which texts are made, the frequent ones short
TEXTS_AT_ONCE = 1000


def write_texts(file: Path, megabytes: int, words: int) -> None:
    """Write a jsonl of texts of `words` words each, drawn by Zipf's law."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    lengths = 2 + np.log2(1 + np.arange(WORDS)).astype(int) // 2
    vocabulary = np.array(["".join(rng.choice(letters, size=n)) for n in lengths])
    with file.open("w") as opened:
        while opened.tell() < megabytes * 1e6:
            drawn = vocabulary[rng.zipf(1.2, size=(100, words)) % WORDS]
            opened.writelines(json.dumps({"text": " ".join(text)}) + "\n" for text in drawn)


def texts(file: Path) -> Iterator[str]:
    """The texts of a jsonl."""
    with file.open() as lines:
        for line in lines:
            yield json.loads(line)["text"]


def config(folder: Path) -> TextData:
    return TextData(
        path=str(folder / "texts.jsonl"),
        tokenizer=str(folder / "tokenizer.json"),
        cache=str(folder / "cache"),
    )


def seconds_of_theirs(folder: Path) -> float:
    """Read and encode all texts with `tokenizers`."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    encoder = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin = time.perf_counter()
    waiting = texts(folder / "texts.jsonl")
    while batch := list(islice(waiting, TEXTS_AT_ONCE)):
        encoder.encode_batch_fast(batch)
    return time.perf_counter() - begin


def seconds_of_ours(folder: Path) -> float:
    """Make the corpus, as the first run on it does."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return seconds_of_a_start(folder)


def seconds_of_a_start(folder: Path) -> float:
    """Load the corpus, made or not."""
    begin = time.perf_counter()
    load_data(config(folder), progress=False)
    return time.perf_counter() - begin


def report_memory(connection: Connection, folder: Path) -> None:
    """Make the corpus, and send the most memory of this process and of the largest beneath it."""
    seconds_of_ours(folder)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    connection.send(sum(each.ru_maxrss for each in usage) * 1024)


def benchmark(megabytes: int, words: int, repeats: int) -> list[report.Row]:
    """Megabytes a second, ours in multiples of theirs, memory, and the time of a later start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "texts.jsonl"
        write_texts(file, megabytes, words)
        encoder = tokenizer.trained_bpe(VOCABULARY, islice(texts(file), 20_000))
        encoder.save(str(folder / "tokenizer.json"))
        size = sum(len(text) for text in texts(file)) / 1e6
        cases = {
            "tokenizers": partial(seconds_of_theirs, folder),
            "ours": partial(seconds_of_ours, folder),
        }
        seconds = paired.interleaved(cases, repeats)
        print(seconds, flush=True)
        starts = [seconds_of_a_start(folder) for _ in range(repeats)]
        resident = paired.once(report_memory, folder)
    case = f"{size:,.0f} MB in texts of {words:,} words"
    return [
        report.row(f"{case}, tokenizers", "speed", size / seconds["tokenizers"], "MB/s"),
        report.row(f"{case}, ours", "speed", size / seconds["ours"], "MB/s"),
        report.row(
            f"{case}, ours against tokenizers",
            "speed",
            paired.speedup(seconds, "ours", "tokenizers"),
            "times",
        ),
        report.row(f"{case}, ours", "a later start", starts, "s"),
        report.row(f"{case}, ours", "resident memory", resident / 2**20, "MiB"),
    ]


if __name__ == "__main__":
    report.run("tokenization", benchmark, megabytes=400, words=300, repeats=3)
