"""Time and memory of opening a tokenized corpus, by its documents; nothing is tokenized.

The corpus is made up: a table of documents, and a file of tokens that takes no room on the disk.
"""

import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import report
import torch
from paired import once
from tokenizers import Tokenizer, models

from posext.data import integrity
from posext.data.dataset import Data
from posext.data.tokenization import TABLE
from posext.utils.memory import PeakMemory

ROWS_AT_ONCE = 100_000
TOKEN_BYTES = 2


def write_corpus(folder: Path, documents: int, gigabytes: float) -> None:
    """Write a cache folder, without hashes: documents of equal length, one in 100 held out."""
    folder.mkdir()
    length = int(gigabytes * 1e9 / TOKEN_BYTES / documents)
    with pq.ParquetWriter(folder / "documents.parquet", TABLE) as writer:
        for first in range(0, documents, ROWS_AT_ONCE):
            rows = np.arange(first, min(first + ROWS_AT_ONCE, documents))
            columns = [
                [f"texts.jsonl#{row}" for row in rows],
                np.full(len(rows), length),
                rows % 100 == 0,
            ]
            writer.write_batch(pa.record_batch(columns, schema=TABLE))
    with (folder / "tokens.bin").open("wb") as tokens:
        tokens.truncate(documents * length * TOKEN_BYTES)
    Tokenizer(models.BPE()).save(str(folder / "tokenizer.json"))
    integrity.remember(folder)


def measure_opening(connection: Connection, folder: Path) -> None:
    """Open the corpus and draw a batch; send the seconds of each step, and the peak of memory."""
    with PeakMemory(torch.device("cpu")) as peak:
        begin = time.perf_counter()
        assert integrity.is_intact(folder)
        checked = time.perf_counter()
        data = Data(folder)
        data.train.batch(0, 0, 16, 8)
        opened = time.perf_counter()
    connection.send((checked - begin, opened - checked, peak.bytes))


def benchmark(documents: int, gigabytes: float, repeats: int) -> list[report.Row]:
    """Seconds until a corpus is known to be intact, and until its first batch; memory of both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "corpus"
        write_corpus(folder, documents, gigabytes)
        checked, opened, peaks = zip(
            *(once(measure_opening, folder) for _ in range(repeats)), strict=True
        )
    case = f"{documents / 1e6:,.3g} million documents, {gigabytes:,.3g} GB of tokens"
    peaks = np.array(peaks)
    return [
        report.row(case, "a start sees that it is intact", checked, "s"),
        report.row(case, "it is opened, and a first batch drawn", opened, "s"),
        report.row(case, "peak of memory", peaks / 2**20, "MiB"),
        report.row(case, "peak of memory, a document", peaks / documents, "bytes"),
    ]


if __name__ == "__main__":
    report.run("large_corpus", benchmark, documents=28_000_000, gigabytes=20.0, repeats=3)
