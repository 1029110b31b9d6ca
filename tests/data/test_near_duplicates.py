"""Near-copies on one side of the split, and held-out lines that occur in training documents."""

import json
import random

import numpy as np
import pytest

from posext.config import CopyData, DataConfig, PythonData, TextData
from posext.data import corpus, dataset, near_duplicates
from posext.data.lines import SHORTEST_LINE, lines
from posext.data.near_duplicates import first_names, overlap

SHARE = 0.5


def text_of(seed: int, count: int = 40) -> str:
    rng = random.Random(seed)
    return "".join(f"line {rng.randrange(10**12)} of document {seed}\n" for _ in range(count))


def near_copy(text: str, every: int) -> str:
    """Return a copy of a text with one in `every` lines replaced."""
    kept = text.splitlines()
    return "\n".join(
        f"another line, the {i}-th one here" if i % every == 0 else kept[i]
        for i in range(len(kept))
    )


def name_on(side: bool, stem: str) -> str:
    """Return a file name that is held out by its hash, or is not."""
    names = (f"{stem}{i}.txt" for i in range(1000))
    return next(name for name in names if corpus.held_out(name, SHARE) == side)


def config_of(folder, **changes) -> DataConfig:
    settings = {
        "source": "text",
        "path": str(folder),
        "tokenizer": "bytes",
        "validation_share": SHARE,
    }
    return TextData(**settings | {"cache": str(folder.parent / "cache")} | changes)


def sides(folder, **changes) -> dict[str, bool]:
    return {
        document.name: document.validation
        for document in corpus.documents(config_of(folder, **changes))
    }


@pytest.fixture
def folder(tmp_path):
    """Twenty unrelated files, and two near-copies whose names are on different sides."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index in range(20):
        (folder / f"{index}.txt").write_text(text_of(index))
    (folder / name_on(False, "a")).write_text(text_of(100))
    (folder / name_on(True, "b")).write_text(near_copy(text_of(100), every=4))
    return folder


def test_documents_splits_near_copies_by_their_first_name(folder):
    validation = sides(folder)
    assert not validation[name_on(False, "a")]
    assert not validation[name_on(True, "b")]


def test_documents_puts_near_copied_rows_on_one_side(tmp_path):
    rows = [{"text": near_copy(text_of(0), every=4) if i % 2 else text_of(0)} for i in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len({corpus.held_out(f"rows.jsonl#{i}", SHARE) for i in range(20)}) == 2
    assert len(set(sides(tmp_path / "rows.jsonl").values())) == 1


def test_documents_splits_unrelated_documents_by_name(folder):
    validation = sides(folder)
    for index in range(20):
        assert validation[f"{index}.txt"] == corpus.held_out(f"{index}.txt", SHARE)


def test_documents_moves_no_other_document_for_a_new_copy(folder):
    before = sides(folder)
    (folder / "zzz.txt").write_text(text_of(3))
    after = sides(folder)
    assert after.pop("zzz.txt") == before["3.txt"]
    assert after == before


def test_near_copies_finds_copies_in_the_standard_library():
    config = PythonData()
    groups = corpus.near_copies(config)
    assert groups["encodings/cp858.py"] == groups["encodings/cp437.py"]
    assert max(list(groups.values()).count(first) for first in set(groups.values())) < 100


def test_near_copies_is_empty_for_one_text_and_for_synthetic(tmp_path):
    (tmp_path / "book.txt").write_text("the same line all through the book\n" * 100)
    assert corpus.near_copies(config_of(tmp_path / "book.txt")) == {}
    assert set(sides(tmp_path / "book.txt")) == {"book.txt"}
    drawn = CopyData(documents=4, document_tokens=40, vocab_size=5)
    assert corpus.near_copies(drawn) == {}


def test_first_names_is_independent_of_document_order():
    texts = [(f"{i}", text_of(i)) for i in range(8)]
    texts += [(f"copy of {i}", near_copy(text_of(i), every=3 + i)) for i in range(4)]
    expected = first_names(texts)
    assert expected == {name: f"{i}" for i in range(4) for name in (f"{i}", f"copy of {i}")}
    for seed in range(5):
        assert first_names(random.Random(seed).sample(texts, len(texts))) == expected


def test_first_names_joins_a_chain_of_copies():
    whole = text_of(0, 100).splitlines()
    starts = zip("fbcdea", range(0, 60, 10), strict=True)
    texts = [(name, "\n".join(whole[start : start + 40])) for name, start in starts]
    assert first_names([texts[0], texts[-1]]) == {}  # the ends share nothing
    assert first_names(texts) == dict.fromkeys("abcdef", "a")


def test_first_names_compares_exact_copies_once(monkeypatch):
    """Else each copy is compared with all before it, and time is quadratic."""
    inserted = []

    class Index(near_duplicates.MinHashLSH):
        def insert(self, key, *a, **b):
            inserted.append(key)
            super().insert(key, *a, **b)

    monkeypatch.setattr(near_duplicates, "MinHashLSH", Index)
    texts = [(f"{i:02}", text_of(i % 2)) for i in range(30)]
    texts.append(("near", near_copy(text_of(0), every=4)))
    groups = {name: f"{int(name) % 2:02}" for name, _ in texts[:-1]}
    assert first_names(texts) == groups | {"near": "00"}
    assert inserted == ["00", "01", "near"]


def test_first_names_omits_documents_that_share_few_lines():
    header = text_of(0, 5)
    texts = [(f"{i}", header + text_of(i, 40)) for i in range(1, 5)]
    assert first_names([*texts, ("short", "a\nb\n"), ("shorter", "a\nb\n"), ("empty", "")]) == {}
    assert first_names([]) == {}


def test_first_names_of_a_document_signed_in_several_parts(monkeypatch):
    monkeypatch.setattr("posext.data.near_duplicates.LINES_AT_ONCE", 7)
    texts = [("a", text_of(0)), ("b", near_copy(text_of(0), every=3))]
    assert first_names(texts) == {"a": "a", "b": "a"}


def test_lines_hashes_each_stripped_line_of_enough_letters():
    """Repeated lines are counted each time, and hashes are the same on all machines."""
    long = "x" * SHORTEST_LINE
    assert len(lines(f"  {long}\n{long}\t\n{long[1:]}   \n")) == 2
    assert set(lines(f"  {long}\n{long}\t\n").tolist()) == {1450814000335998049}
    assert len(lines("")) == 0


def brute_force(config: DataConfig) -> dict[str, float]:
    """Return the overlap, counted line by line."""
    documents = list(corpus.documents(config))
    lines_by_name = {
        document.name: [
            stripped
            for line in document.text.split("\n")
            if len(stripped := line.strip()) >= SHORTEST_LINE
        ]
        for document in documents
    }
    training = [line for d in documents if not d.validation for line in lines_by_name[d.name]]
    held_out = [lines_by_name[d.name] for d in documents if d.validation]
    shared = [sum(line in training for line in lines) for lines in held_out]
    over_half = [2 * count > len(lines) for count, lines in zip(shared, held_out, strict=True)]
    return {
        "lines": round(sum(shared) / sum(map(len, held_out)), 4),
        "documents": len(held_out),
        "documents_over_half": sum(over_half),
    }


def test_load_data_records_the_overlap_of_a_brute_force_count(folder):
    # Two lines of each of twenty documents: in training in all, though little of each.
    mixture = "".join(text_of(i, 2) for i in range(20))
    (folder / name_on(True, "c")).write_text(mixture)
    recorded = dataset.load_data(config_of(folder), progress=False).overlap
    assert recorded == brute_force(config_of(folder))
    assert recorded["documents_over_half"] == 1
    assert recorded["lines"] > 0


def test_overlap_in_words_counts_lines_and_documents(folder):
    tokens = dataset.load_data(config_of(folder), progress=False)
    sentence = tokens.overlap_in_words()
    assert f"{tokens.overlap['lines']:.1%} stand in training documents too" in sentence
    assert f"in 0 of {tokens.overlap['documents']} documents more than half" in sentence


def test_load_data_records_no_overlap_without_counted_lines(tmp_path):
    (tmp_path / "book.txt").write_text("0123456789\n" * 100)
    tokens = dataset.load_data(config_of(tmp_path / "book.txt"), progress=False)
    assert tokens.overlap == {"lines": 0.0, "documents": 1, "documents_over_half": 0}


def counted(held_out: list[list[int]], training: list[list[int]]) -> tuple[float, int, int]:
    """Return what `overlap` counts of documents, given as the hashes of their lines."""
    hashes = np.array([line for document in held_out for line in document], dtype=np.uint64)
    counts = np.array([len(document) for document in held_out])
    found = overlap(hashes, counts, [np.array(one, dtype=np.uint64) for one in training])
    return found["lines"], found["documents"], found["documents_over_half"]


def test_overlap_counts_lines_and_the_documents_that_they_are_of():
    held_out = [[1, 2, 3], [], [4], [5, 6]]
    assert counted(held_out, [[2, 9], [3, 3, 6]]) == (0.5, 4, 1)
    assert counted(held_out, [[7]]) == (0.0, 4, 0)


def test_overlap_of_the_largest_and_the_smallest_hash():
    ends = [0, 2**64 - 1]
    assert counted([ends], [ends[1:]]) == (0.5, 1, 0)
    assert counted([ends], [ends]) == (1.0, 1, 1)
    assert counted([ends], [[1, 2**64 - 2]]) == (0.0, 1, 0)


def test_train_prints_and_records_the_overlap(command, small):
    code, out, _ = command("train", "+pe=rope", *small, "name=mine", "evaluate=false")
    assert code == 0
    assert "held-out text: of the lines in held-out documents 0.0% stand in training" in out
    with open("results/runs/mine/run.json") as file:
        recorded = json.load(file)["held_out_overlap"]
    assert recorded["lines"] == 0.0
    assert recorded["documents"] > 0
