"""Windows over joined documents: `data.pack`."""

import itertools
from collections import Counter

import pytest
import torch
from accelerate import Accelerator
from helpers.splits import split_of

from posext.config import ModelConfig
from posext.data import tokenizer
from posext.data.batch import next_tokens
from posext.data.packing import Joined, use_in_words
from posext.model.gpt import GPT
from posext.pe import build
from posext.training.micro_batches import accumulate
from posext.utils.errors import PosextError

SEPARATOR = 999
DOCUMENTS = (range(100, 103), range(200, 207), [], range(300, 301))


def joined() -> Joined:
    return Joined(split_of(*DOCUMENTS), SEPARATOR)


def stream() -> list[int]:
    """The joined text, written out."""
    tokens = []
    for document in joined().order:
        tokens += [*DOCUMENTS[document], SEPARATOR]
    return tokens


def test_batch_draws_windows_of_the_joined_documents_and_their_origin():
    windows, origins = joined().batch(0, 0, 5, 300)
    text = stream()
    places = [text[i : i + 6] for i in range(len(text) - 5)]
    for window, origin in zip(windows.tolist(), origins, strict=True):
        assert window in places
        name, offset = origin.split(":")
        document = list(DOCUMENTS[int(name[1:])])
        assert [*document, SEPARATOR][int(offset)] == window[0]


def test_batch_draws_every_place_with_equal_probability():
    windows, _ = joined().batch(0, 0, 5, 40_000)
    counts = Counter(map(tuple, windows.tolist()))
    assert len(counts) == len(stream()) - 5
    assert max(counts.values()) / min(counts.values()) < 1.15


def test_batch_is_a_pure_function_of_seed_and_step():
    first = joined().batch(1, 5, 4, 20)[0]
    again = joined()
    again.batch(1, 6, 4, 20)
    assert again.batch(1, 5, 4, 20)[0].equal(first)
    assert not again.batch(1, 6, 4, 20)[0].equal(first)


def test_batch_refuses_a_length_beyond_all_documents_together():
    assert joined().batch(0, 0, 13, 1)[0].tolist() == [stream()]
    with pytest.raises(PosextError, match="14 tokens with their separators, and a length of 14"):
        joined().batch(0, 0, 14, 1)


def test_separator_is_a_token_that_no_text_has():
    of_bytes = tokenizer.make("bytes", 0, iter(()))
    separator = tokenizer.separator(of_bytes)
    text = "".join(map(chr, range(0x2000)))
    assert separator not in of_bytes.encode(text).ids
    assert of_bytes.id_to_token(separator) == "ÿ"
    of_bytes.add_special_tokens(["</s>"])
    assert of_bytes.id_to_token(tokenizer.separator(of_bytes)) == "</s>"
    with pytest.raises(PosextError, match=r"data\.pack=true needs a token that no text has"):
        tokenizer.separator(tokenizer.make("letters", 5, iter(())))


def test_use_in_words_counts_the_documents_that_are_long_enough():
    split = split_of(range(3), range(7))
    assert "of which 70.0% are used" in use_in_words(split, 3, pack=False)
    assert "of which 100.0% are used" in use_in_words(split, 2, pack=False)
    assert "all of them used" in use_in_words(split, 3, pack=True)


def test_train_on_documents_shorter_than_a_sequence(command, small):
    """Without joining they are refused."""
    settings = ["train_length=4096", "tokens_per_step=8192", "steps=1", "evaluate=false"]
    code, _, err = command("train", "+pe=rope", *small, *settings)
    assert code == 2
    assert "no document has 4097 tokens" in err
    code, out, err = command("train", "+pe=rope", *small, *settings, "data.pack=true")
    assert code == 0, err
    assert "all of them used as documents are joined; 0.0% are in documents of at least" in out


def test_next_tokens_numbers_documents_up_to_their_separators():
    windows = torch.tensor([[5, SEPARATOR, 6, 7, SEPARATOR, 8], [1, 2, 3, 4, 5, SEPARATOR]])
    batch = next_tokens(windows, ["a:0", "b:0"], SEPARATOR)
    assert batch.documents_BT is not None
    assert batch.documents_BT.tolist() == [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert next_tokens(windows, ["a:0", "b:0"]).documents_BT is None


@pytest.mark.parametrize("micro_batch_tokens", [5, 10])
def test_accumulate_hides_documents_from_each_other(micro_batch_tokens):
    """The loss is that of the documents, each read alone at its positions."""
    scheme = build("rope", n_heads=2, head_dim=4, d_model=8, train_length=5)
    config = ModelConfig("test", n_layers=2, n_heads=2, d_model=8, d_ff=16, learning_rate=1e-3)
    model = GPT(config, 12, scheme).initialize(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(5)  # small ones look at everything alike
    windows = torch.tensor([[5, 9, 6, 7, 9, 8], [1, 2, 3, 9, 5, 9]])
    accelerator = Accelerator(cpu=True)
    loss = accumulate(model, next_tokens(windows, [], 9), micro_batch_tokens, accelerator)
    alone = 0.0
    for window, ends in zip(windows, ([2, 5], [4, 5]), strict=True):
        for start, end in itertools.pairwise([0, *ends]):
            with torch.no_grad():
                read = model(window[None, start:end], window[None, start + 1 : end + 1])
            alone += float(read) / 10
    assert loss == pytest.approx(alone, rel=1e-5)
    assert accumulate(model, next_tokens(windows, []), 10, accelerator) != pytest.approx(
        alone, rel=1e-3
    )
