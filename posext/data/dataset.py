"""A tokenized corpus: one flat file of tokens, and batches as a pure function of (seed, step).

A cache folder contains
    tokens.bin          the tokens of all documents
    documents.parquet   their name, tokens and validation
    tokenizer.json
    overlap.json        the overlap of held-out lines with training
    sha256.json         the hashes of these files
It is built under a temporary name and renamed, so it is complete or absent; a damaged one is built
again. `posext.data.journal` says how it is built, `posext.data.integrity` how damage is noticed.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from tokenizers import Tokenizer

from posext.config import DataConfig, HubData
from posext.data import tokenizer
from posext.data.encoding import token_type
from posext.data.identity import identity_of
from posext.data.integrity import is_intact, remember, write_digests
from posext.data.journal import WORK, Journal
from posext.data.packing import Joined
from posext.data.split import Names, Split, pieces
from posext.data.tokenization import HEADER, tokenize
from posext.utils.atomic import synced
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
LAYOUT = 2  # increased when the content of a cache folder changes


@dataclass(frozen=True)
class Data:
    """A tokenized corpus in a cache folder.

    Attributes:
        folder: The cache folder.
        cut: `longest` and `room` of `pieces`, if held-out documents are cut.
    """

    folder: Path
    cut: tuple[int, int] | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of the corpus and its tokenizer."""
        return self.folder.name

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the corpus."""
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    @property
    def vocab_size(self) -> int:
        """The number of tokens of the vocabulary."""
        return self.tokenizer.get_vocab_size()

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        """The bytes of text of each token: int64 (V,)."""
        return tokenizer.bytes_per_token(self.tokenizer)

    @cached_property
    def overlap(self) -> dict[str, float]:
        """The counts of posext.data.near_duplicates.overlap."""
        return json.loads((self.folder / "overlap.json").read_text())

    def overlap_in_words(self) -> str:
        """Return the overlap of held-out documents with training, as a sentence."""
        overlap = self.overlap
        return (
            f"of the lines in held-out documents {overlap['lines']:.1%} "
            "stand in training documents too, and in "
            f"{overlap['documents_over_half']} of {overlap['documents']} documents "
            "more than half of them"
        )

    @cached_property
    def train(self) -> Split:
        """The training documents."""
        return self.split(validation=False)

    @cached_property
    def validation(self) -> Split:
        """The held-out documents, cut into pieces if `cut` is set."""
        documents = self.split(validation=True)
        return pieces(documents, *self.cut) if self.cut else documents

    @cached_property
    def joined(self) -> dict[bool, Joined]:
        """The documents of both sides, joined: `data.pack`. Held-out ones are under True."""
        separator = tokenizer.separator(self.tokenizer)
        return {side: Joined(self.split(side), separator) for side in (False, True)}

    def windows(self, validation: bool, pack: bool) -> Split | Joined:
        """Return what batches are drawn from: the documents of one side, joined or not."""
        if pack:
            return self.joined[validation]
        return self.validation if validation else self.train

    def split(self, validation: bool) -> Split:
        """Return the documents of one side, memory-mapped."""
        file = self.folder / "documents.parquet"
        flat = np.memmap(self.folder / "tokens.bin", dtype=token_type(self.vocab_size), mode="r")
        return Split(flat, *extents(file, validation), Names(partial(read_names, file, validation)))


def extents(file: Path, validation: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the first place in tokens.bin, and the tokens, of each document of a side.

    Both are int64, (D,). They are filled in place, as millions of documents take much memory.
    """
    count = end = 0
    with pq.ParquetFile(file) as opened:
        starts = np.empty(opened.metadata.num_rows, dtype=np.int64)
        lengths = np.empty_like(starts)
        for batch in opened.iter_batches(columns=["tokens", "validation"]):
            tokens = batch.column("tokens").to_numpy()
            ends = end + tokens.cumsum()
            is_own = batch.column("validation").to_numpy(zero_copy_only=False) == validation
            own = slice(count, count + np.count_nonzero(is_own))
            starts[own] = (ends - tokens)[is_own]
            lengths[own] = tokens[is_own]
            count = own.stop
            end = ends[-1]
    return starts[:count], lengths[:count]


def read_names(file: Path, validation: bool) -> Iterator[pa.Array]:
    """Yield the names of the documents of a side, many at a time."""
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(columns=["name", "validation"]):
            is_own = batch.column("validation").to_numpy(zero_copy_only=False) == validation
            yield batch.column("name").filter(pa.array(is_own))


def load_data(config: DataConfig, progress: bool = True) -> Data:
    """Load the tokenized corpus of a config, from the cache or by tokenizing it now.

    Safe when several processes start at once. An interrupted start is gone on with.

    Args:
        config: The corpus and its tokenizer.
        progress: Whether to show a bar while tokenizing.

    Returns:
        The corpus.

    Raises:
        PosextError: One side of the split would be empty, or the corpus cannot be read.
    """
    return cached(config, tokenizer_key(config), None, progress)


def load_held_out(config: DataConfig, like: Data, progress: bool = True) -> Data:
    """Load the held-out documents of a corpus, in the tokens of another one.

    Args:
        config: The corpus; its tokenizer is not used.
        like: The corpus whose tokenizer is.
        progress: Whether to show a bar while tokenizing.

    Returns:
        A corpus without training documents.

    Raises:
        PosextError: Nothing is held out, or the corpus cannot be read.
    """
    content = hashlib.sha256(like.tokenizer.to_str().encode()).hexdigest()
    return cached(config, ["held out", content], like.tokenizer, progress)


def cached(
    config: DataConfig, tokenizer_key: list[str], encoder: Tokenizer | None, progress: bool
) -> Data:
    """Load a corpus from the cache, or tokenize it now: its held-out documents with an encoder."""
    cache = Path(config.cache).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    identity = identity_of(config, cache)
    key = [LAYOUT, identity.fingerprint, tokenizer_key]
    folder = cache_folder(cache, key)
    if identity.by_name_alone and not folder.exists():  # made when near-copies had no limit
        folder = cache_folder(cache, [*key, "by name alone"])
    with FileLock(f"{folder}.lock"):
        if folder.exists() and not is_intact(folder):
            log.warning("the tokenized corpus in %s is damaged, so it is made again", folder)
            shutil.rmtree(folder)
        if not folder.exists():
            with closing(Journal(folder, HEADER)) as journal:
                try:
                    tokenize(config, encoder, journal, progress)
                except PosextError:
                    # what is refused is refused again, but for a network that fails on the way
                    if not (isinstance(config, HubData) and journal.token_count):
                        journal.clear()
                    raise
                write_digests(journal.folder)
                os.rename(journal.folder, folder)
            synced(cache)
            remember(folder)
        shutil.rmtree(folder.with_suffix(WORK), ignore_errors=True)
    return Data(folder)


def cache_folder(cache: Path, key: list[Any]) -> Path:
    """Return the folder of a corpus in the cache."""
    return cache / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def tokenizer_key(config: DataConfig) -> list[str]:
    """Return the settings of the tokenizer, and the hash of a local file."""
    path = Path(config.tokenizer).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    size = str(config.vocab_size) if config.tokenizer in ("bpe", "letters") else ""
    content = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return [config.tokenizer, size, content]
