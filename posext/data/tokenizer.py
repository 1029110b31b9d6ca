"""Text to token ids and back to bytes: a BPE trained on the spot, bytes, letters, or any tokenizer that `tokenizers` loads."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from posext.config import HUB_ID, LETTERS
from posext.utils.errors import PosextError

TRAINING_CHARACTERS = 64_000_000  # more text no longer moves the merges


def make(kind: str, vocab_size: int, texts: Iterator[str]) -> Tokenizer:
    """The tokenizer that a config names. Raises PosextError for one that is neither known nor loadable."""
    if kind == "bpe":
        return trained_bpe(vocab_size, texts)
    if kind == "bytes":
        return byte_level(models.BPE(vocab={c: i for i, c in enumerate(alphabet())}, merges=[]))
    if kind == "letters":
        tokenizer = Tokenizer(
            models.BPE(vocab={c: i for i, c in enumerate(LETTERS[:vocab_size])}, merges=[])
        )
        tokenizer.decoder = decoders.Fuse()
        return tokenizer
    tokenizer = loaded(kind)
    size, largest = tokenizer.get_vocab_size(), max(tokenizer.get_vocab().values(), default=-1)
    if largest >= size:
        raise PosextError(
            f"data.tokenizer={kind!r} has ids up to {largest}, but {size} tokens, for which the network has embeddings"
        )
    return tokenizer


def loaded(kind: str) -> Tokenizer:
    path = Path(kind).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    refusal = f"data.tokenizer={kind!r} is neither bpe, bytes, a tokenizer.json or its folder, nor an id on the hub"
    if not file.is_file() and (
        file.suffix == ".json" or not re.fullmatch(rf"\w[\w.-]*|{HUB_ID}", kind)
    ):
        raise PosextError(refusal)
    try:
        loaded = (
            Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(kind)
        )
        loaded.no_truncation()  # which the file may ask for
        loaded.no_padding()
        return loaded
    except Exception as error:  # the library raises bare Exception
        raise PosextError(f"{refusal}: {(str(error).splitlines() or [''])[0]}") from error


def trained_bpe(vocab_size: int, texts: Iterator[str]) -> Tokenizer:
    """Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; bytes as in GPT-2)."""
    if vocab_size < 256:
        raise PosextError(f"data.vocab_size must be at least 256, the bytes, not {vocab_size}")
    tokenizer = byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(up_to(texts, TRAINING_CHARACTERS), trainer)
    return tokenizer


def byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def alphabet() -> list[str]:
    """The 256 characters that stand for bytes, in a fixed order."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def up_to(texts: Iterator[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text
        characters -= len(text)
        if characters <= 0:
            return


def bytes_per_token(tokenizer: Tokenizer) -> np.ndarray:
    """How many bytes of text each token stands for: int64 (V,), 0 for special tokens.

    Exact for byte-level vocabularies and for those with a byte fallback; a leading word mark counts as its space.
    """
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    bytelike, counts = set(alphabet()), np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    byte_level_vocabulary = all(
        set(t) <= bytelike for t, i in tokenizer.get_vocab().items() if i not in special
    )
    for token, index in tokenizer.get_vocab().items():
        if index in special:
            continue
        if byte_level_vocabulary:
            counts[index] = len(token)
        elif re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            counts[index] = 1
        else:
            counts[index] = len(token.removeprefix("##").replace("▁", " ").encode())
    return counts
