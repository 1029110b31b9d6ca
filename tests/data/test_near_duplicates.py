import json
import random

import numpy as np
import pytest

from posext.config import DataConfig
from posext.data import corpus, dataset
from posext.data.near_duplicates import SHORTEST_LINE, first_names, lines, overlap

SHARE = 0.5


def text_of(seed: int, count: int = 40) -> str:
    rng = random.Random(seed)
    return "".join(f"line {rng.randrange(10**12)} of document {seed}\n" for _ in range(count))


def changed(text: str, every: int) -> str:
    """A near-copy: each so many-th line is another one."""
    kept = text.splitlines()
    return "\n".join(
        f"another line, the {i}-th one here" if i % every == 0 else kept[i]
        for i in range(len(kept))
    )


def name_on(side: bool, stem: str) -> str:
    """A file name that is held out by itself, or is not."""
    names = (f"{stem}{i}.txt" for i in range(1000))
    return next(name for name in names if corpus.held_out(name, SHARE) == side)


def config_of(folder, **changes) -> DataConfig:
    settings = {
        "source": "text",
        "path": str(folder),
        "tokenizer": "bytes",
        "validation_share": SHARE,
    }
    return DataConfig(**settings | {"cache": str(folder.parent / "cache")} | changes)


def sides(folder, **changes) -> dict[str, bool]:
    return {
        document.name: document.validation
        for document in corpus.documents(config_of(folder, **changes))
    }


@pytest.fixture
def folder(tmp_path):
    """Twenty unrelated files, and one of each side that are near-copies."""
    made = tmp_path / "corpus"
    made.mkdir()
    for index in range(20):
        (made / f"{index}.txt").write_text(text_of(index))
    (made / name_on(False, "a")).write_text(text_of(100))
    (made / name_on(True, "b")).write_text(changed(text_of(100), every=4))
    return made


def test_documents_puts_near_copies_on_the_side_of_the_first_name(folder):
    found = sides(folder)
    assert [found[name_on(False, "a")], found[name_on(True, "b")]] == [False, False]


def test_documents_puts_near_copies_among_rows_on_one_side(tmp_path):
    rows = [{"text": changed(text_of(0), every=4) if i % 2 else text_of(0)} for i in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len({corpus.held_out(f"rows.jsonl#{i}", SHARE) for i in range(20)}) == 2
    assert len(set(sides(tmp_path / "rows.jsonl").values())) == 1


def test_documents_leaves_unrelated_documents_where_their_names_put_them(folder):
    found = sides(folder)
    for index in range(20):
        assert found[f"{index}.txt"] == corpus.held_out(f"{index}.txt", SHARE)


def test_documents_moves_no_other_document_when_a_copy_joins(folder):
    before = sides(folder)
    (folder / "zzz.txt").write_text(text_of(3))
    after = sides(folder)
    assert after.pop("zzz.txt") == before["3.txt"]
    assert after == before


def test_documents_finds_copies_in_the_standard_library_whose_names_lie_apart():
    config = DataConfig(source="python")
    groups = corpus.near_copies(config)
    assert groups["encodings/cp858.py"] == groups["encodings/cp437.py"]
    assert max(list(groups.values()).count(first) for first in set(groups.values())) < 100


def test_documents_does_not_group_a_text_that_is_cut_nor_drawn_ones(tmp_path):
    (tmp_path / "book.txt").write_text("the same line all through the book\n" * 100)
    assert corpus.near_copies(config_of(tmp_path / "book.txt")) == {}
    assert set(sides(tmp_path / "book.txt")) == {"book.txt"}
    drawn = DataConfig(
        source="copy", tokenizer="letters", documents=4, document_tokens=40, vocab_size=5
    )
    assert corpus.near_copies(drawn) == {}


def test_first_names_do_not_depend_on_the_order_of_documents():
    texts = [(f"{i}", text_of(i)) for i in range(8)]
    texts += [(f"copy of {i}", changed(text_of(i), every=3 + i)) for i in range(4)]
    expected = first_names(texts)
    assert expected == {name: f"{i}" for i in range(4) for name in (f"{i}", f"copy of {i}")}
    for seed in range(5):
        assert first_names(random.Random(seed).sample(texts, len(texts))) == expected


def test_first_names_join_a_chain_of_copies_under_its_first_name():
    whole = text_of(0, 100).splitlines()
    texts = [
        (name, "\n".join(whole[at : at + 40]))
        for name, at in zip("fbcdea", range(0, 60, 10), strict=True)
    ]
    assert first_names([texts[0], texts[-1]]) == {}  # the ends share nothing
    assert first_names(texts) == dict.fromkeys("abcdef", "a")


def test_first_names_leave_alone_what_shares_few_lines_or_has_none():
    header = text_of(0, 5)
    texts = [(f"{i}", header + text_of(i, 40)) for i in range(1, 5)]
    assert first_names([*texts, ("short", "a\nb\n"), ("shorter", "a\nb\n"), ("empty", "")]) == {}
    assert first_names([]) == {}


def test_first_names_of_a_document_longer_than_what_is_signed_at_once(monkeypatch):
    monkeypatch.setattr("posext.data.near_duplicates.LINES_AT_ONCE", 7)
    assert first_names([("a", text_of(0)), ("b", changed(text_of(0), every=3))]) == {
        "a": "a",
        "b": "a",
    }


def test_lines_are_stripped_counted_as_often_as_they_stand_and_the_same_on_all_machines():
    long = "x" * SHORTEST_LINE
    assert len(lines(f"  {long}\n{long}\t\n{long[1:]}   \n")) == 2
    assert set(lines(f"  {long}\n{long}\t\n").tolist()) == {1450814000335998049}
    assert len(lines("")) == 0


def brute_force(config: DataConfig) -> dict[str, float]:
    documents = list(corpus.documents(config))
    long = {
        d.name: [s for line in d.text.split("\n") if len(s := line.strip()) >= SHORTEST_LINE]
        for d in documents
    }
    training = [line for d in documents if not d.validation for line in long[d.name]]
    held_out = [long[d.name] for d in documents if d.validation]
    stand = [sum(line in training for line in document) for document in held_out]
    return {
        "lines": round(sum(stand) / sum(map(len, held_out)), 4),
        "documents": len(held_out),
        "documents_over_half": sum(
            2 * count > len(of) for count, of in zip(stand, held_out, strict=True)
        ),
    }


def test_load_records_the_share_that_a_brute_force_count_gives(folder):
    (folder / name_on(True, "c")).write_text(
        "".join(text_of(i, 2) for i in range(20))  # of every document little, together all
    )
    found = dataset.load_data(config_of(folder), progress=False).overlap
    assert found == brute_force(config_of(folder))
    assert found["documents_over_half"] == 1
    assert found["lines"] > 0


def test_overlap_in_words_counts_lines_and_documents(folder):
    tokens = dataset.load_data(config_of(folder), progress=False)
    said = tokens.overlap_in_words()
    assert f"{tokens.overlap['lines']:.1%} stand in training documents too" in said
    assert f"in 0 of {tokens.overlap['documents']} documents more than half" in said


def test_load_of_a_corpus_without_lines_that_count(tmp_path):
    (tmp_path / "book.txt").write_text("0123456789\n" * 100)
    found = dataset.load_data(config_of(tmp_path / "book.txt"), progress=False).overlap
    assert found == {"lines": 0.0, "documents": 1, "documents_over_half": 0}


def test_overlap_of_the_largest_and_the_smallest_hash():
    ends = np.array([0, 2**64 - 1], dtype=np.uint64)
    assert overlap([ends], [ends[1:]]) == {"lines": 0.5, "documents": 1, "documents_over_half": 0}
    assert overlap([ends], [ends]) == {"lines": 1.0, "documents": 1, "documents_over_half": 1}
    assert overlap([ends], [ends + np.uint64(1) - np.uint64(2)]) != overlap([ends], [ends])


def test_train_prints_and_records_the_overlap(command, small):
    code, out, _ = command("train", "+pe=rope", *small, "name=mine", "evaluate=false")
    assert code == 0
    assert "held-out text: of the lines in held-out documents 0.0% stand in training" in out
    with open("results/runs/mine/run.json") as file:
        found = json.load(file)["held_out_overlap"]
    assert found["lines"] == 0.0
    assert found["documents"] > 0
