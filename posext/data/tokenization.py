"""A corpus as tokens in a folder, made by all cores, in constant memory."""

import json
import time
import zlib
from array import array
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
from tokenizers import Tokenizer
from tqdm import tqdm

from posext.config import DataConfig
from posext.data import corpus, near_duplicates, tokenizer
from posext.data.corpus import Document
from posext.data.encoders import cores, encode_all
from posext.data.encoding import Encoded
from posext.data.journal import Journal, Shard
from posext.data.place import Place
from posext.utils.atomic import replacing, synced, write_text
from posext.utils.errors import PosextError

SHARD_CHARACTERS = 2**21
HEADER = {"shard": SHARD_CHARACTERS, "tokenizers": tokenizers.__version__}  # of a journal
MOST_LINES = 2**24  # of held-out documents, that are looked for in training
LINES_AT_ONCE = 2**20
TABLE = pa.schema([("name", pa.string()), ("tokens", pa.int64()), ("validation", pa.bool_())])
DOCUMENTS_AT_ONCE = 2**16


class Pending(NamedTuple):
    """The documents of a shard that is being encoded, and the place behind them."""

    documents: list[Document]
    mark: object
    since: int
    done: int


def tokenize(
    config: DataConfig, encoder: Tokenizer | None, journal: Journal, progress: bool
) -> None:
    """Make the files of a corpus in the folder of a journal, behind its last shard.

    Args:
        config: The corpus.
        encoder: The tokenizer, for the held-out documents alone; None for that of the config.
        journal: A journal with HEADER.
        progress: Whether to show a bar, and to print the speed.

    Raises:
        PosextError: One side of the split would be empty, or the corpus cannot be read.
    """
    held_out_only = encoder is not None
    groups = corpus.near_copies(config)
    file = journal.folder / "tokenizer.json"
    if not file.is_file():
        made = encoder or make_tokenizer(config, groups)
        write_text(file, made.to_str(pretty=True))
    encoder = Tokenizer.from_file(str(file))
    write_shards(journal, config, groups, encoder, held_out_only, progress)
    synced(journal.folder / "tokens.bin")
    write_documents(journal, config, held_out_only)
    write_text(journal.folder / "overlap.json", json.dumps(overlap(journal)))


def make_tokenizer(config: DataConfig, groups: dict[str, str]) -> Tokenizer:
    """Train or load the tokenizer of a config."""
    documents = corpus.documents(config, groups)
    texts = (document.text for document in documents if not document.validation)
    return tokenizer.make(config.tokenizer, config.vocab_size, texts)


def write_shards(
    journal: Journal,
    config: DataConfig,
    groups: dict[str, str],
    encoder: Tokenizer,
    held_out_only: bool,
    progress: bool,
) -> None:
    """Encode the documents behind the last shard of a journal, and append them."""
    place = journal.place
    documents = corpus.documents(config, groups, place, held_out_only)
    begin = time.perf_counter()
    before = journal.text_bytes
    bar = tqdm(
        desc=f"tokenizing {config.origin()}",
        unit="B",
        unit_scale=True,
        initial=place.done,
        disable=None if progress else True,
    )
    shards = pending_shards(documents, place)
    encoded = encode_all(shards, encoder, journal.folder / "tokenizer.json")
    with bar, closing(documents), closing(shards), closing(encoded):
        for pending, result in encoded:
            journal.append(shard_of(pending, result), result.tokens, result.lines)
            bar.total = place.total or None
            bar.set_postfix(tokens=f"{journal.token_count:,}", refresh=False)
            bar.update(pending.done - bar.n)
    seconds = time.perf_counter() - begin
    if progress:
        size = (journal.text_bytes - before) / 1e6
        print(
            f"tokenized {size:,.1f} MB of {config.origin()} in {seconds:,.1f} s "
            f"on {cores()} cores, {size / seconds:.1f} MB/s: {journal.token_count:,} tokens in all"
        )


def pending_shards(
    documents: Iterator[Document], place: Place
) -> Generator[tuple[Pending, list[str]]]:
    """Gather documents to shards, whose extent depends on the texts alone."""
    gathered: list[Document] = []
    characters = 0
    for document in documents:
        gathered.append(document)
        characters += len(document.text)
        if characters >= SHARD_CHARACTERS:
            yield pending_shard(gathered, place)
            gathered, characters = [], 0
    if gathered:
        yield pending_shard(gathered, place)


def pending_shard(documents: list[Document], place: Place) -> tuple[Pending, list[str]]:
    """Return the documents of a shard without their texts, and the texts."""
    texts = [document.text for document in documents]
    untold = [document._replace(text="") for document in documents]
    return Pending(untold, place.mark, place.since, place.done), texts


def shard_of(pending: Pending, encoded: Encoded) -> Shard:
    """Return the line of the journal for encoded documents."""
    return Shard(
        [document.name for document in pending.documents],
        [document.validation for document in pending.documents],
        encoded.token_counts,
        encoded.line_counts,
        pending.mark,
        pending.since,
        pending.done,
        len(encoded.tokens),
        zlib.crc32(encoded.tokens),
        zlib.crc32(encoded.lines),
        encoded.text_bytes,
    )


def write_documents(journal: Journal, config: DataConfig, held_out_only: bool) -> None:
    """Write documents.parquet. Raises PosextError if a side that is needed has no document."""
    count = 0
    sides: set[bool] = set()
    with (
        replacing(journal.folder / "documents.parquet") as temporary,
        pq.ParquetWriter(temporary, TABLE) as writer,
    ):
        for rows in rows_at_once(journal):
            names, tokens, validation = zip(*rows, strict=True)
            writer.write_batch(pa.record_batch([names, tokens, validation], schema=TABLE))
            count += len(rows)
            sides |= set(validation)
        if missing := ({True} if held_out_only else {True, False}) - sides:
            side = "validation" if True in missing else "training"
            raise PosextError(f"the {count} documents of {config.origin()} leave none for {side}")


def rows_at_once(journal: Journal) -> Iterator[list[tuple[str, int, bool]]]:
    """Yield the rows of documents.parquet, many at a time."""
    rows: list[tuple[str, int, bool]] = []
    for document, _ in journal.documents():
        rows.append((document.name, document.tokens, document.validation))
        if len(rows) == DOCUMENTS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def overlap(journal: Journal) -> dict[str, float]:
    """Return the counts of `near_duplicates.overlap`.

    Of many held-out documents, those with the first MOST_LINES lines are counted.
    """
    held_out, counts = array("Q"), array("q")
    for document, start in journal.documents():
        if document.validation and len(held_out) < MOST_LINES:
            held_out.frombytes(journal.line_hashes(start, document.lines).tobytes())
            counts.append(document.lines)
    hashes, counts_D = np.frombuffer(held_out, np.uint64), np.frombuffer(counts, np.int64)
    return near_duplicates.overlap(hashes, counts_D, training_lines(journal))


def training_lines(journal: Journal) -> Iterator[np.ndarray]:
    """Yield the hashes of the lines of training documents, neighbours together."""
    begin = count = 0
    for document, start in journal.documents():
        if document.validation:
            continue
        if start > begin + count or count >= LINES_AT_ONCE:
            yield journal.line_hashes(begin, count)
            begin, count = start, 0
        count += document.lines
    yield journal.line_hashes(begin, count)
