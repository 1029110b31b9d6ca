"""Tokenizers, and the bytes of text of each of their tokens."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from posext.data import tokenizer

TEXTS = [
    "naïve café — 中文 🙂\n",
    "def f(x):\n\treturn x ** 2  # ünïcode\n",
    "plain words, plain words",
]


def word_level() -> Tokenizer:
    """Return a tokenizer of words with the word mark of SentencePiece and a special token."""
    vocabulary = {"<unk>": 0, "▁plain": 1, "▁words": 2, ",": 3, "▁": 4}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    words.decoder = decoders.Metaspace()
    words.add_special_tokens(["<s>"])
    return words


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_bytes_per_token_sums_to_the_bytes_of_a_text(kind):
    encoder = tokenizer.make(kind, 300, iter(TEXTS * 3))
    counts = tokenizer.bytes_per_token(encoder)
    for text in TEXTS:
        ids = encoder.encode(text, add_special_tokens=False).ids
        assert encoder.decode(ids) == text
        assert counts[ids].sum() == len(text.encode())
    assert encoder.get_vocab_size() == (300 if kind == "bpe" else 256)


def test_bytes_per_token_of_added_tokens_are_those_of_their_text():
    """As tokenizers of code add runs of spaces to bytes."""
    encoder = tokenizer.make("bpe", 300, iter(TEXTS * 3))
    encoder.add_tokens(["    ", "naïve"])
    encoder.add_special_tokens(["<end>"])
    counts = tokenizer.bytes_per_token(encoder)
    text = "the    the naïve\n"
    ids = encoder.encode(text, add_special_tokens=False).ids
    assert {encoder.token_to_id("    "), encoder.token_to_id("naïve")} <= set(ids)
    assert counts[ids].sum() == len(text.encode())
    assert counts[encoder.token_to_id("<end>")] == 0


def test_bytes_per_token_counts_word_marks_as_spaces():
    words = word_level()
    counts = tokenizer.bytes_per_token(words)
    ids = words.encode("plain words, plain words", add_special_tokens=False).ids
    assert counts[ids].sum() == len(TEXTS[2]) + 1
    assert counts[words.token_to_id("<s>")] == 0


def test_make_loads_a_tokenizer_file_unchanged(tmp_path):
    trained = tokenizer.make("bpe", 280, iter(TEXTS))
    trained.save(str(tmp_path / "tokenizer.json"))
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        assert tokenizer.make(str(path), 0, iter([])).get_vocab() == trained.get_vocab()
