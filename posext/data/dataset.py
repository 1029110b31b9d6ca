"""A corpus as one flat file of tokens with document offsets, and batches as a pure function of (seed, step).

A cache folder holds `tokens.bin`, `documents.parquet` (name, tokens, validation), `tokenizer.json`, `overlap.json` (what of
the held-out lines stands in training) and their hashes; it is
built beside its place and renamed whole, so that it is there complete or not at all, and made again where it is damaged.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from posext.config import DataConfig
from posext.data import corpus, near_duplicates, tokenizer
from posext.utils.atomic import digests, synced, write_text
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
DIGESTS = "sha256.json"
LAYOUT = 2  # raised when what a cache folder holds changes
DOCUMENTS_AT_ONCE = 128
ENOUGH = 10  # held-out documents that must hold the longest context, for intervals over documents


@dataclass(frozen=True)
class Split:
    """Documents of one side of the split, as slices of one flat token array."""

    tokens: np.ndarray  # (N,) memory-mapped
    starts: np.ndarray  # (D,) int64
    lengths: np.ndarray  # (D,) int64, tokens
    names: list[str]

    def document(self, index: int) -> np.ndarray:
        """The tokens of one document: int64 (n,)."""
        return self.tokens[self.starts[index] : self.starts[index] + self.lengths[index]].astype(
            np.int64
        )

    def batch(self, seed: int, step: int, length: int, count: int) -> tuple[Tensor, list[str]]:
        """`count` windows of length + 1 tokens, int64 (count, length + 1), and where each was cut, as name:offset.

        Every window that lies within one document is equally likely; a window never crosses documents. A pure function
        of its arguments: nothing is carried from step to step. Raises PosextError where no document is long enough.
        """
        choices_D = np.maximum(self.lengths - length, 0)
        ends_D = np.cumsum(choices_D)
        if not len(ends_D) or not ends_D[-1]:
            longest = int(self.lengths.max(initial=0))
            raise PosextError(
                f"no document has {length + 1} tokens, as a length of {length} needs; the longest has {longest}"
            )
        rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
        picks = rng.integers(0, ends_D[-1], size=count)
        documents = np.searchsorted(ends_D, picks, side="right")
        offsets = picks - (ends_D[documents] - choices_D[documents])
        firsts = self.starts[documents] + offsets
        windows = self.tokens[firsts[:, None] + np.arange(length + 1)].astype(np.int64)
        return torch.from_numpy(windows), [
            f"{self.names[d]}:{o}" for d, o in zip(documents, offsets, strict=True)
        ]


@dataclass(frozen=True)
class Data:
    """A tokenized corpus."""

    folder: Path
    cut: tuple[int, int] | None = (
        None  # `longest` and `room` of `pieces`, where held-out documents are cut
    )

    @property
    def fingerprint(self) -> str:
        return self.folder.name

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.get_vocab_size()

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        return tokenizer.bytes_per_token(self.tokenizer)

    @cached_property
    def overlap(self) -> dict[str, float]:
        """What of the held-out lines stands in training documents too, as posext.data.near_duplicates.overlap counts it."""
        return json.loads((self.folder / "overlap.json").read_text())

    def overlap_in_words(self) -> str:
        """The overlap of held-out documents with training, in a sentence."""
        overlap = self.overlap
        return (
            f"of the lines in held-out documents {overlap['lines']:.1%} stand in training documents too, and in "
            f"{overlap['documents_over_half']} of {overlap['documents']} documents more than half of them"
        )

    @cached_property
    def train(self) -> Split:
        return self.split(validation=False)

    @cached_property
    def validation(self) -> Split:
        documents = self.split(validation=True)
        return pieces(documents, *self.cut) if self.cut else documents

    def split(self, validation: bool) -> Split:
        table = pd.read_parquet(self.folder / "documents.parquet")
        table["start"] = table.tokens.cumsum() - table.tokens
        table = table.loc[table.validation == validation]
        tokens = np.memmap(self.folder / "tokens.bin", dtype=token_type(self.vocab_size), mode="r")
        return Split(
            tokens, table.start.to_numpy(), table.tokens.to_numpy(), table["name"].tolist()
        )


def pieces(documents: Split, longest: int, room: int) -> Split:
    """Documents cut into pieces, where fewer than ENOUGH hold longest + 1 tokens; else the same documents.

    A document that holds several times longest + 1 + room tokens gives as many disjoint pieces of equal size, named NAME#0,
    NAME#1 .. in order; all others stay whole. Who resamples documents then has more than one to draw from.
    """
    if np.count_nonzero(documents.lengths > longest) >= ENOUGH:
        return documents
    counts = np.maximum(documents.lengths // (longest + 1 + room), 1)
    if counts.max(initial=1) == 1:
        return documents
    starts: list[int] = []
    lengths: list[int] = []
    names: list[str] = []
    for index, count in enumerate(counts.tolist()):
        edges = np.arange(count + 1) * documents.lengths[index] // count
        starts += (documents.starts[index] + edges[:-1]).tolist()
        lengths += np.diff(edges).tolist()
        name = documents.names[index]
        names += [name] if count == 1 else [f"{name}#{part}" for part in range(count)]
    return Split(documents.tokens, np.array(starts), np.array(lengths), names)


def load_data(config: DataConfig, progress: bool = True) -> Data:
    """The corpus of a config, tokenized; from the cache where it has been before. Safe when several processes start at once.

    Raises PosextError where either side of the split would be empty.
    """
    key = json.dumps([LAYOUT, corpus.fingerprint(config), tokenizer_key(config)])
    cache = Path(config.cache).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    with FileLock(f"{folder}.lock"):
        if folder.exists() and not whole(folder):
            log.warning("the tokenized corpus in %s is damaged, so it is made again", folder)
            shutil.rmtree(folder)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            tokenize(config, unfinished, progress)
            write_text(unfinished / DIGESTS, json.dumps(digests(unfinished)))
            os.rename(unfinished, folder)
            synced(cache)
    return Data(folder)


def whole(folder: Path) -> bool:
    """Whether a cache folder holds what was written to it, by its hashes."""
    file = folder / DIGESTS
    try:
        return json.loads(file.read_text()) == {
            k: v for k, v in digests(folder).items() if k != DIGESTS
        }
    except (OSError, ValueError):
        return False


def tokenizer_key(config: DataConfig) -> list[str]:
    """What tells tokenizers apart: the settings, and the content of a local file."""
    path = Path(config.tokenizer).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    content = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return [
        config.tokenizer,
        str(config.vocab_size) if config.tokenizer in ("bpe", "letters") else "",
        content,
    ]


def tokenize(config: DataConfig, folder: Path, progress: bool) -> None:
    """Fill a cache folder: train or load the tokenizer, then write every document's tokens as they come."""
    groups = corpus.near_copies(config)
    texts = (
        document.text for document in corpus.documents(config, groups) if not document.validation
    )
    made = tokenizer.make(config.tokenizer, config.vocab_size, texts)
    made.save(str(folder / "tokenizer.json"))
    table = []
    lines: dict[bool, list[np.ndarray]] = {
        False: [],
        True: [],
    }  # of every document, by whether it is held out
    remaining = corpus.documents(config, groups)
    bar = tqdm(desc="tokenizing", unit=" documents", disable=None if progress else True)
    with open(folder / "tokens.bin", "wb") as file, bar:
        while chunk := list(islice(remaining, DOCUMENTS_AT_ONCE)):
            encoded = made.encode_batch_fast(
                [document.text for document in chunk], add_special_tokens=False
            )
            for document, encoding in zip(chunk, encoded, strict=True):
                np.asarray(encoding.ids, dtype=token_type(made.get_vocab_size())).tofile(file)
                table.append((document.name, len(encoding.ids), document.validation))
                lines[document.validation].append(near_duplicates.lines(document.text))
            bar.update(len(chunk))
    documents = pd.DataFrame(table, columns=["name", "tokens", "validation"])
    if documents.validation.nunique() < 2:
        side = "validation" if not documents.validation.any() else "training"
        raise PosextError(
            f"the {len(documents)} documents of {config.path or config.source} leave none for {side}"
        )
    documents.to_parquet(folder / "documents.parquet", index=False)
    overlap = near_duplicates.overlap(lines[True], lines[False])
    write_text(folder / "overlap.json", json.dumps(overlap))


def token_type(vocab_size: int) -> type[np.unsignedinteger]:
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def shards(count: int, index: int, of: int) -> Iterator[int]:
    """The items of `count` that process `index` of `of` takes."""
    return iter(range(index, count, of))
