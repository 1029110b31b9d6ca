"""Tokenizers: a BPE trained on the corpus, bytes, letters, or any that `tokenizers` loads."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from posext.config import HUB_ID, LETTERS
from posext.utils.errors import PosextError

# Names of the token at the end of a text, of GPT-2, Llama 3, Llama and T5, Gemma, BERT.
ENDS_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
TRAINING_CHARACTERS = 64_000_000  # further text no longer changes the merges


def make(kind: str, vocab_size: int, texts: Iterator[str]) -> Tokenizer:
    """Build or load a tokenizer.

    Args:
        kind: bpe, bytes, letters, a tokenizer.json or its folder, or an id on the hub.
        vocab_size: The size of a bpe or letters vocabulary.
        texts: The texts that a bpe is trained on.

    Raises:
        PosextError: The tokenizer is unknown, cannot be loaded, or has ids beyond its size.
    """
    if kind == "bpe":
        return trained_bpe(vocab_size, texts)
    if kind == "bytes":
        return byte_level(character_model(alphabet()))
    if kind == "letters":
        tokenizer = Tokenizer(character_model(LETTERS[:vocab_size]))
        tokenizer.decoder = decoders.Fuse()
        return tokenizer
    tokenizer = loaded(kind)
    size = tokenizer.get_vocab_size()
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= size:
        raise PosextError(
            f"data.tokenizer={kind!r} has ids up to {largest}, but {size} tokens, "
            "for which the network has embeddings"
        )
    return tokenizer


def character_model(characters: Iterable[str]) -> models.BPE:
    """Return a model with one token for each character, and no merges."""
    vocabulary = {character: index for index, character in enumerate(characters)}
    return models.BPE(vocab=vocabulary, merges=[])


def loaded(kind: str) -> Tokenizer:
    """Load a tokenizer from a file, a folder or the hub, without truncation and padding.

    Raises PosextError if it cannot be loaded.
    """
    path = Path(kind).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    refusal = (
        f"data.tokenizer={kind!r} is neither bpe, bytes, a tokenizer.json or its folder, "
        "nor an id on the hub"
    )
    is_hub_id = file.suffix != ".json" and re.fullmatch(rf"\w[\w.-]*|{HUB_ID}", kind)
    if not file.is_file() and not is_hub_id:
        raise PosextError(refusal)
    try:
        tokenizer = (
            Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(kind)
        )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    except Exception as error:  # the library raises bare Exception
        raise PosextError(f"{refusal}: {(str(error).splitlines() or [''])[0]}") from error


def reading_rules(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what of a tokenizer makes tokens of a text, without special tokens around it."""
    rules = json.loads(tokenizer.to_str())
    return {name: rule for name, rule in rules.items() if name != "post_processor"}


def trained_bpe(vocab_size: int, texts: Iterator[str]) -> Tokenizer:
    """Train a byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; bytes as in GPT-2)."""
    if vocab_size < 256:
        raise PosextError(f"data.vocab_size must be at least 256, the bytes, not {vocab_size}")
    tokenizer = byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(up_to(texts, TRAINING_CHARACTERS), trainer)
    return tokenizer


def byte_level(model: models.BPE) -> Tokenizer:
    """Return a tokenizer of bytes around a model."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def alphabet() -> list[str]:
    """Return the 256 characters that represent bytes, in a fixed order."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def up_to(texts: Iterator[str], characters: int) -> Iterator[str]:
    """Yield texts until they have `characters` characters in all."""
    for text in texts:
        yield text
        characters -= len(text)
        if characters <= 0:
            return


def separator(tokenizer: Tokenizer) -> int:
    """Return a token that no text has, to stand between documents.

    It is the tokenizer's token of the end of a text, or else that of the byte 255, which is in no
    UTF-8.

    Raises PosextError if there is neither, as for letters.
    """
    for name in (*ENDS_OF_TEXT, "<0xFF>", "ÿ" if is_byte_level(tokenizer) else ""):
        if name and (index := tokenizer.token_to_id(name)) is not None:
            return index
    raise PosextError(
        "data.pack=true needs a token that no text has, to stand between documents: the tokenizer "
        f"has none of {', '.join(ENDS_OF_TEXT)}, nor one for the byte 255"
    )


def is_byte_level(tokenizer: Tokenizer) -> bool:
    """Return whether all tokens but added ones are bytes, written in the alphabet."""
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    byte_characters = set(alphabet())
    return all(set(token) <= byte_characters for token in tokenizer.get_vocab().keys() - added)


def bytes_per_token(tokenizer: Tokenizer) -> np.ndarray:
    """Return the number of bytes of text for each token: int64 (V,), 0 for special tokens.

    Exact for byte-level vocabularies and for those with a byte fallback; a leading word mark
    counts as its space.
    """
    added = tokenizer.get_added_tokens_decoder()
    of_bytes = is_byte_level(tokenizer)
    counts = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    for token, index in tokenizer.get_vocab().items():
        if index in added:  # written as it is
            counts[index] = 0 if added[index].special else len(added[index].content.encode())
        elif of_bytes:
            counts[index] = len(token)
        elif re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            counts[index] = 1
        else:
            counts[index] = len(token.removeprefix("##").replace("▁", " ").encode())
    return counts
