"""A tokenized corpus: one flat file of tokens, and batches as a pure function of (seed, step).

A cache folder contains
    tokens.bin          the tokens of all documents
    documents.parquet   their name, tokens and validation
    tokenizer.json
    overlap.json        the overlap of held-out lines with training
    sha256.json         the hashes of these files
It is built under a temporary name and renamed, so it is complete or absent; a damaged one is built
again.
"""

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from tokenizers import Tokenizer
from tqdm import tqdm

from posext.config import DataConfig
from posext.data import corpus, near_duplicates, tokenizer
from posext.data.split import Split, pieces
from posext.utils.atomic import digests, synced, write_text
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
DIGESTS = "sha256.json"
LAYOUT = 2  # increased when the content of a cache folder changes
DOCUMENTS_AT_ONCE = 128


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

    def split(self, validation: bool) -> Split:
        """Return the documents of one side, memory-mapped."""
        table = pd.read_parquet(self.folder / "documents.parquet")
        table["start"] = table.tokens.cumsum() - table.tokens
        table = table.loc[table.validation == validation]
        tokens = np.memmap(self.folder / "tokens.bin", dtype=token_type(self.vocab_size), mode="r")
        return Split(
            tokens, table.start.to_numpy(), table.tokens.to_numpy(), table["name"].tolist()
        )


def load_data(config: DataConfig, progress: bool = True) -> Data:
    """Load the tokenized corpus of a config, from the cache or by tokenizing it now.

    Safe when several processes start at once. Local files and the cache are hashed at each call.

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
    key = json.dumps([LAYOUT, corpus.fingerprint(config), tokenizer_key])
    cache = Path(config.cache).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    with FileLock(f"{folder}.lock"):
        if folder.exists() and not is_intact(folder):
            log.warning("the tokenized corpus in %s is damaged, so it is made again", folder)
            shutil.rmtree(folder)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            tokenize(config, encoder, unfinished, progress)
            write_text(unfinished / DIGESTS, json.dumps(digests(unfinished)))
            os.rename(unfinished, folder)
            synced(cache)
    return Data(folder)


def is_intact(folder: Path) -> bool:
    """Return whether the files of a cache folder match their hashes."""
    try:
        expected = json.loads((folder / DIGESTS).read_text())
        actual = digests(folder)
    except (OSError, ValueError):
        return False
    return expected == {name: value for name, value in actual.items() if name != DIGESTS}


def tokenizer_key(config: DataConfig) -> list[str]:
    """Return the settings of the tokenizer, and the hash of a local file."""
    path = Path(config.tokenizer).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    size = str(config.vocab_size) if config.tokenizer in ("bpe", "letters") else ""
    content = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return [config.tokenizer, size, content]


def tokenize(config: DataConfig, encoder: Tokenizer | None, folder: Path, progress: bool) -> None:
    """Fill a cache folder: train or load the tokenizer, then write the tokens by document.

    With an encoder, the held-out documents alone.

    Raises PosextError if one side of the split would be empty.
    """
    groups = corpus.near_copies(config)
    held_out_only = encoder is not None
    if encoder is None:
        documents = corpus.documents(config, groups)
        training_texts = (document.text for document in documents if not document.validation)
        encoder = tokenizer.make(config.tokenizer, config.vocab_size, training_texts)
    encoder.save(str(folder / "tokenizer.json"))
    rows = []
    lines_by_side: dict[bool, list[np.ndarray]] = {False: [], True: []}  # True: held out
    remaining = corpus.documents(config, groups)
    if held_out_only:
        remaining = (document for document in remaining if document.validation)
    bar = tqdm(desc="tokenizing", unit=" documents", disable=None if progress else True)
    with open(folder / "tokens.bin", "wb") as file, bar:
        while chunk := list(islice(remaining, DOCUMENTS_AT_ONCE)):
            texts = [document.text for document in chunk]
            encodings = encoder.encode_batch_fast(texts, add_special_tokens=False)
            for document, encoding in zip(chunk, encodings, strict=True):
                dtype = token_type(encoder.get_vocab_size())
                np.asarray(encoding.ids, dtype=dtype).tofile(file)
                rows.append((document.name, len(encoding.ids), document.validation))
                lines_by_side[document.validation].append(near_duplicates.lines(document.text))
            bar.update(len(chunk))
    table = pd.DataFrame(rows, columns=["name", "tokens", "validation"])
    sides = {True} if held_out_only else {True, False}
    if missing := sides - set(table.validation):
        side = "validation" if True in missing else "training"
        raise PosextError(f"the {len(table)} documents of {config.origin()} leave none for {side}")
    table.to_parquet(folder / "documents.parquet", index=False)
    overlap = near_duplicates.overlap(lines_by_side[True], lines_by_side[False])
    write_text(folder / "overlap.json", json.dumps(overlap))


def token_type(vocab_size: int) -> type[np.unsignedinteger]:
    """Return the smallest type of tokens.bin for a vocabulary."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32
