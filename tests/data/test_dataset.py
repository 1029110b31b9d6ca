"""The tokenized corpus: its cache, batches of windows, and held-out documents cut into pieces."""

import logging
import multiprocessing
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import WORDS
from helpers.splits import split_of

from posext.analysis import curves
from posext.config import EvaluationConfig, TextData
from posext.data import corpus, dataset
from posext.data import split as splits
from posext.data.packing import Joined
from posext.data.recall.episode import filler
from posext.data.split import Names, Split
from posext.eval.curve import make_plan

LENGTHS = [8, 16, 64]
PROTOCOLS = ["fixed_target", "far_copy", "sliding", "nonoverlap", "per_position"]
LONGEST, ROOM = 64, 16  # the longest of LENGTHS; 4 blocks of 4 targets


@pytest.fixture
def config(corpus, tmp_path):
    return TextData(
        path=str(corpus),
        tokenizer="bytes",
        validation_share=0.3,
        cache=str(tmp_path / "cache"),
    )


def random_split(*lengths: int) -> Split:
    """Return a split of documents with so many random tokens."""
    rng = np.random.default_rng(0)
    return split_of(*(rng.integers(256, size=length) for length in lengths))


def pieces(*lengths: int) -> Split:
    return splits.pieces(random_split(*lengths), LONGEST, ROOM)


def load_texts(folder, held_out: list[int], monkeypatch) -> dataset.Data:
    """Load one training text, and held-out texts of so many bytes, each a token."""
    (folder / "texts").mkdir()
    rng = random.Random(0)
    for index, size in enumerate([500, *held_out]):
        name = f"{'h' if index else 't'}{index:02}.txt"
        (folder / "texts" / name).write_text(" ".join(rng.choices(WORDS, k=size))[:size])
    monkeypatch.setattr("posext.data.corpus.held_out", lambda name, share: name.startswith("h"))
    settings = {"source": "text", "path": str(folder / "texts"), "tokenizer": "bytes"}
    return dataset.load_data(TextData(**settings, cache=str(folder / "cache")), progress=False)


def plan_of(tokens: dataset.Data):
    return make_plan(tokens, LENGTHS, PROTOCOLS, 16, EvaluationConfig(blocks=4, targets=4))


def test_load_data_keeps_every_token_of_every_document(config):
    tokens = dataset.load_data(config, progress=False)
    texts = {document.name: document for document in corpus.documents(config)}
    assert len(texts) == 40
    for split, validation in ((tokens.train, False), (tokens.validation, True)):
        on_side = [document for document in texts.values() if document.validation == validation]
        assert len(split.names) == len(on_side)
        for index, name in enumerate(split.names):
            assert tokens.tokenizer.decode(split.document(index).tolist()) == texts[name].text
            assert texts[name].validation == validation


def load_in_a_process(config, queue):
    queue.put(dataset.load_data(config, progress=False).fingerprint)


def test_load_data_makes_one_cache_from_several_processes(config, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=load_in_a_process, args=(config, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    fingerprints = {queue.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
    assert len(fingerprints) == 1
    folders = [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert folders == list(fingerprints)


def test_batch_draws_windows_within_a_document_and_their_origin():
    split = split_of(range(100, 120), range(200, 205), range(300, 330))
    windows, origins = split.batch(0, 0, 8, 500)
    assert windows.shape == (500, 9)
    for window, origin in zip(windows.tolist(), origins, strict=True):
        document, offset = origin.split(":")
        first = (int(document[1:]) + 1) * 100 + int(offset)
        assert window == list(range(first, first + 9))


def test_batch_reads_names_only_for_an_origin():
    """Names of millions of documents take much memory."""
    reads = []
    names = Names(lambda: reads.append(1) or [pa.array(["a", "b"])])
    split = replace(split_of(range(9), range(9)), names=names)
    packed = Joined(split, separator=9)
    drawn = [each.batch(0, 0, 4, 2)[1] for each in (split, packed)]
    assert not reads
    assert all(origins[-1].partition(":")[0] in ("a", "b") for origins in drawn)
    assert reads == [1]


def test_batch_draws_every_window_with_equal_probability():
    split = split_of(range(12), range(20, 25), range(40, 49))
    windows, _ = split.batch(0, 0, 4, 60_000)
    counts = Counter(windows[:, 0].tolist())
    assert sorted(counts) == [*range(8), 20, *range(40, 45)]
    assert max(counts.values()) / min(counts.values()) < 1.15


def test_batch_is_a_pure_function_of_seed_and_step():
    split = split_of(range(1000))
    first = split.batch(1, 5, 16, 8)[0]
    split.batch(1, 6, 16, 8)
    assert split.batch(1, 5, 16, 8)[0].equal(first)
    assert not split.batch(1, 6, 16, 8)[0].equal(first)
    assert not split.batch(2, 5, 16, 8)[0].equal(first)


def test_batch_refuses_a_length_beyond_all_documents():
    with pytest.raises(ValueError, match=r"no document has 65 tokens.*the longest has 64"):
        split_of(range(64), [1, 2]).batch(0, 0, 64, 1)


def test_pieces_are_disjoint_and_hold_the_whole_text_in_order():
    before, after = random_split(1000, 30, 500), pieces(1000, 30, 500)
    for name in before.names:
        parts = [i for i, part in enumerate(after.names) if part.partition("#")[0] == name]
        whole = np.concatenate([after.document(i) for i in parts])
        assert np.array_equal(whole, before.document(before.names.index(name)))


def test_pieces_are_as_many_as_hold_context_and_blocks():
    """Each piece holds the longest context and its blocks of targets."""
    smallest = LONGEST + 1 + ROOM
    for count in (1, 2, 7):
        for spare in (0, 1, smallest - 1):
            split = pieces(count * smallest + spare)
            assert len(split.names) == count
            assert min(split.lengths) >= smallest
            assert max(split.lengths) - min(split.lengths) <= 1


def test_pieces_number_cut_documents_and_keep_other_names():
    assert pieces(170, 30, 250).names == ["d0#0", "d0#1", "d1", "d2#0", "d2#1", "d2#2"]
    assert pieces(170).names == ["d0#0", "d0#1"]


@pytest.mark.parametrize("lengths", [[5000] * 10, [65] * 10, [65], [161], [64, 3], []])
def test_pieces_returns_the_split_if_nothing_is_cut(lengths):
    """Ten long documents are enough, and documents too short to cut stay whole."""
    split = random_split(*lengths)
    assert splits.pieces(split, LONGEST, ROOM) is split


def test_pieces_cut_nine_long_documents_among_many_short_ones():
    assert len(pieces(*[200] * 9, *[64] * 50).names) == 9 * 2 + 50


def test_data_cuts_held_out_documents_only_if_asked(tmp_path, monkeypatch):
    tokens = load_texts(tmp_path, [3000], monkeypatch)
    assert replace(tokens, cut=(LONGEST, ROOM)).validation.names[0] == "h01.txt#0"
    assert list(replace(tokens, cut=None).validation.names) == ["h01.txt"]


def test_make_plan_cuts_a_single_text_into_pieces(tmp_path, monkeypatch, caplog):
    """The cut is reported in a warning."""
    tokens = load_texts(tmp_path, [3000], monkeypatch)
    with caplog.at_level(logging.WARNING, logger="posext"):
        plan = plan_of(tokens)
    windows = plan.protocols["fixed_target"].windows
    assert len({w.document for w in windows[64]}) == 3000 // 81
    assert len(windows[64]) == 4 * (3000 // 81)
    assert (
        "65 tokens that the longest context needs: 1; they are measured in 37 pieces" in caplog.text
    )
    for protocol_plan in plan.protocols.values():
        for window in (w for of_length in protocol_plan.windows.values() for w in of_length):
            assert window.length <= window.end < plan.tokens.validation.lengths[window.document]


def test_make_plan_gives_pieces_to_all_readers(tmp_path, monkeypatch):
    """Recall episodes read the pieces too; the corpus that was passed in is not changed."""
    tokens = load_texts(tmp_path, [3000], monkeypatch)
    split = plan_of(tokens).tokens.validation
    assert split.names == [f"h01.txt#{i}" for i in range(37)]
    assert len(filler(split, np.random.default_rng(0), 64)) == 64
    # Equal and of one hash, so that what is cached by corpus is found again.
    assert plan_of(tokens).tokens == plan_of(tokens).tokens
    assert hash(plan_of(tokens).tokens) == hash(plan_of(tokens).tokens)
    assert list(tokens.validation.names) == ["h01.txt"]
    assert list(plan_of(tokens).tokens.train.names) == list(tokens.train.names)


def test_make_plan_does_not_cut_ten_long_documents(tmp_path, monkeypatch, caplog):
    tokens = load_texts(tmp_path, [700 + 100 * i for i in range(10)], monkeypatch)
    with caplog.at_level(logging.WARNING, logger="posext"):
        plan = plan_of(tokens)
    windows = plan.protocols["fixed_target"].windows
    monkeypatch.setattr("posext.eval.curve.pieces", lambda documents, longest, room: documents)
    assert windows == plan_of(tokens).protocols["fixed_target"].windows
    assert plan.tokens is tokens
    assert not caplog.records


def test_make_plan_refuses_a_text_too_short_for_one_piece(tmp_path, monkeypatch):
    tokens = load_texts(tmp_path, [64], monkeypatch)
    with pytest.raises(ValueError, match=r"no held-out document has 65 tokens.*the longest has 64"):
        plan_of(tokens)


def test_train_on_a_single_text_has_intervals_over_pieces(command, small, tmp_path):
    """The curve, its sums, recall in the same text, and the printed number of documents."""
    words = [f"{word}{i}" for word in WORDS for i in range(40)]
    (tmp_path / "book.txt").write_text(" ".join(random.Random(0).choices(words, k=20_000)))
    settings = [
        f"data.path={tmp_path}/book.txt",
        "data.tokenizer=bpe",
        "data.vocab_size=2000",
        "context_lengths=[8,64]",
        "protocols=[fixed_target,sliding,retrieval]",
        "name=mine",
    ]
    code, out, err = command("train", "+pe=rope", *small, *settings)
    assert code == 0, err
    assert "measured in" in err
    sums = pd.read_parquet("results/runs/mine/documents.parquet")
    fixed = sums.loc[(sums.protocol == "fixed_target") & (sums.context_length == 64)]
    assert sorted(fixed.document) == sorted(set(fixed.document))
    assert set(fixed.document) <= {f"book.txt#{i}" for i in range(1000)}
    rows = curves.read_curves("results/runs/mine/curves.csv")
    assert (rows.documents == 8).all()  # evaluation.documents, of the pieces
    assert (rows.nll_high > rows.nll_low).all()
    assert "in 8 held-out documents" in out


def test_names_are_read_from_a_cache_that_pandas_wrote():
    """pandas writes large strings, as the caches of former versions have."""
    arrays = [pa.array(["a", "b"], pa.large_string()), pa.array(["c"], pa.string())]
    names = Names(lambda: arrays)
    assert list(names) == ["a", "b", "c"]
    assert list(names[1:]) == ["b", "c"]
