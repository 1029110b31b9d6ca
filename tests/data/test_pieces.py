import logging
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import WORDS

from posext.analysis import curves
from posext.config import DataConfig, EvaluationConfig
from posext.data import dataset
from posext.data.recall.episode import filler
from posext.eval.curve import make_plan

LENGTHS = [8, 16, 64]
NAMES = ["fixed_target", "far_copy", "sliding", "nonoverlap", "per_position"]
LONGEST, ROOM = 64, 16  # of LENGTHS, with 4 blocks of 4 targets


def split_of(*lengths: int) -> dataset.Split:
    sizes = np.array(lengths, dtype=np.int64)
    rng = np.random.default_rng(0)
    tokens = rng.integers(256, size=sizes.sum()).astype(np.uint16)
    return dataset.Split(
        tokens, np.cumsum(sizes) - sizes, sizes, [f"d{i}" for i in range(len(sizes))]
    )


def pieces(*lengths: int) -> dataset.Split:
    return dataset.pieces(split_of(*lengths), LONGEST, ROOM)


def corpus_of(folder, held_out: list[int], monkeypatch) -> dataset.Data:
    """One training text, and held-out texts of so many bytes, each a token."""
    (folder / "texts").mkdir()
    rng = random.Random(0)
    for index, size in enumerate([500, *held_out]):
        name = f"{'h' if index else 't'}{index:02}.txt"
        (folder / "texts" / name).write_text(" ".join(rng.choices(WORDS, k=size))[:size])
    monkeypatch.setattr("posext.data.corpus.held_out", lambda name, share: name.startswith("h"))
    settings = {"source": "text", "path": str(folder / "texts"), "tokenizer": "bytes"}
    return dataset.load_data(DataConfig(**settings, cache=str(folder / "cache")), progress=False)


def plan_of(tokens: dataset.Data):
    return make_plan(tokens, LENGTHS, NAMES, 16, EvaluationConfig(targets=4))


def test_pieces_are_disjoint_and_hold_the_whole_text_in_order():
    before, after = split_of(1000, 30, 500), pieces(1000, 30, 500)
    for name in before.names:
        parts = [i for i, part in enumerate(after.names) if part.partition("#")[0] == name]
        whole = np.concatenate([after.document(i) for i in parts])
        assert np.array_equal(whole, before.document(before.names.index(name)))


def test_pieces_are_as_many_as_hold_the_longest_context_and_its_blocks():
    each = LONGEST + 1 + ROOM
    for count in (1, 2, 7):
        for spare in (0, 1, each - 1):
            found = pieces(count * each + spare)
            assert len(found.names) == count
            assert min(found.lengths) >= each
            assert max(found.lengths) - min(found.lengths) <= 1


def test_pieces_have_stable_names_and_leave_short_documents_theirs():
    assert pieces(170, 30, 250).names == ["d0#0", "d0#1", "d1", "d2#0", "d2#1", "d2#2"]
    assert pieces(170).names == ["d0#0", "d0#1"]


@pytest.mark.parametrize("lengths", [[5000] * 10, [65] * 10, [65], [161], [64, 3], []])
def test_pieces_leave_enough_long_documents_and_those_too_short_to_cut_as_they_are(lengths):
    split = split_of(*lengths)
    assert dataset.pieces(split, LONGEST, ROOM) is split


def test_pieces_cut_nine_long_documents_among_many_short_ones():
    assert len(pieces(*[200] * 9, *[64] * 50).names) == 9 * 2 + 50


def test_make_plan_measures_a_single_text_in_pieces_and_says_so(tmp_path, monkeypatch, caplog):
    tokens = corpus_of(tmp_path, [3000], monkeypatch)
    with caplog.at_level(logging.WARNING, logger="posext"):
        plan = plan_of(tokens)
    windows = plan.protocols["fixed_target"].windows
    assert len({w.document for w in windows[64]}) == 3000 // 81
    assert len(windows[64]) == 4 * (3000 // 81)
    assert "65 tokens that a context of 64 needs: 1; they are measured in 37 pieces" in caplog.text
    for made in plan.protocols.values():
        for window in (w for of_length in made.windows.values() for w in of_length):
            assert window.length <= window.end < plan.tokens.validation.lengths[window.document]


def test_make_plan_hands_the_pieces_to_all_that_read_documents(tmp_path, monkeypatch):
    tokens = corpus_of(tmp_path, [3000], monkeypatch)
    split = plan_of(tokens).tokens.validation
    assert split.names == [f"h01.txt#{i}" for i in range(37)]
    assert len(filler(split, np.random.default_rng(0), 64)) == 64
    assert (
        plan_of(tokens).tokens == plan_of(tokens).tokens
    )  # what is cached by corpus is found again
    assert hash(plan_of(tokens).tokens) == hash(plan_of(tokens).tokens)
    assert tokens.validation.names == ["h01.txt"]
    assert plan_of(tokens).tokens.train.names == tokens.train.names


def test_make_plan_with_ten_long_documents_is_as_without_pieces(tmp_path, monkeypatch, caplog):
    tokens = corpus_of(tmp_path, [700 + 100 * i for i in range(10)], monkeypatch)
    with caplog.at_level(logging.WARNING, logger="posext"):
        plan = plan_of(tokens)
    monkeypatch.setattr("posext.data.dataset.pieces", lambda documents, longest, room: documents)
    assert (
        plan.protocols["fixed_target"].windows == plan_of(tokens).protocols["fixed_target"].windows
    )
    assert plan.tokens is tokens
    assert not caplog.records


def test_make_plan_refuses_a_text_that_is_too_short_with_the_same_words(tmp_path, monkeypatch):
    tokens = corpus_of(tmp_path, [64], monkeypatch)
    with pytest.raises(ValueError, match=r"no held-out document has 65 tokens.*the longest has 64"):
        plan_of(tokens)


def test_a_run_on_a_single_text_has_intervals_over_its_pieces(command, small, tmp_path):
    """The curve, the sums it is made of, recall in the same text, and the number of documents that is printed."""
    words = [f"{word}{i}" for word in WORDS for i in range(40)]
    (tmp_path / "book.txt").write_text(" ".join(random.Random(0).choices(words, k=20_000)))
    given = [
        "+pe=rope",
        *small,
        f"data.path={tmp_path}/book.txt",
        "context_lengths=[8,64]",
        "name=mine",
    ]
    given += [
        "data.tokenizer=bpe",
        "data.vocab_size=2000",
        "protocols=[fixed_target,sliding,retrieval]",
    ]
    code, printed, said = command("train", *given)
    assert code == 0, said
    assert "measured in" in said
    sums = pd.read_parquet("results/runs/mine/documents.parquet")
    fixed = sums.loc[(sums.protocol == "fixed_target") & (sums.context_length == 64)]
    assert sorted(fixed.document) == sorted(set(fixed.document))
    assert set(fixed.document) <= {f"book.txt#{i}" for i in range(1000)}
    rows = curves.read_curves("results/runs/mine/curves.csv")
    assert (rows.documents == 8).all()  # evaluation.documents, of the pieces
    assert (rows.nll_high > rows.nll_low).all()
    assert "in 8 held-out documents" in printed


def test_load_gives_documents_uncut_unless_asked(tmp_path, monkeypatch):
    tokens = corpus_of(tmp_path, [3000], monkeypatch)
    assert replace(tokens, cut=(LONGEST, ROOM)).validation.names[0] == "h01.txt#0"
    assert replace(tokens, cut=None).validation.names == ["h01.txt"]
