"""Documents of a corpus: reading, the split by names, and the fingerprint."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from posext.config import TextData
from posext.data import corpus, hub
from posext.utils.errors import PosextError


def test_held_out_depends_on_names_alone():
    assert [corpus.held_out(name, 0.0) for name in "abc"] == [False] * 3
    assert [corpus.held_out(name, 1.0) for name in "abc"] == [True] * 3
    share = np.mean([corpus.held_out(f"folder/{i}.py", 0.1) for i in range(5000)])
    assert share == pytest.approx(0.1, abs=0.015)


def test_fingerprint_follows_content(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    config = TextData(path=str(tmp_path))
    before = corpus.fingerprint(config)
    assert corpus.fingerprint(config) == before
    (tmp_path / "a.txt").write_text("two")
    assert corpus.fingerprint(config) != before


def test_documents_reads_local_files_of_every_kind(tmp_path):
    (tmp_path / "a.txt").write_text("text a\nwith lines\n\nand a gap")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "b.md").write_text("# text b")
    rows = [json.dumps({"text": f"row {i}"}) + "\n" for i in range(3)]
    (tmp_path / "c.jsonl").write_text("".join(rows))
    pd.DataFrame({"text": ["cell 0", "cell 1"]}).to_parquet(tmp_path / "d.parquet")
    config = TextData(path=str(tmp_path))
    texts = {document.name: document.text for document in corpus.documents(config)}
    assert texts == {
        "a.txt": "text a\nwith lines\n\nand a gap",
        "deeper/b.md": "# text b",
        "c.jsonl#0": "row 0",
        "c.jsonl#1": "row 1",
        "c.jsonl#2": "row 2",
        "d.parquet#0": "cell 0",
        "d.parquet#1": "cell 1",
    }


def test_documents_holds_out_the_end_of_a_single_text(tmp_path):
    (tmp_path / "book.txt").write_text("0123456789" * 10)
    config = TextData(path=str(tmp_path / "book.txt"), validation_share=0.2)
    head, tail = corpus.documents(config)
    assert (head.text + tail.text, len(tail.text)) == ("0123456789" * 10, 20)
    assert (head.validation, tail.validation) == (False, True)


def test_joined_starts_a_document_at_each_match():
    rows = ["", " = First = ", " text ", " = = Part = = ", " more ", " = Second = ", " text "]
    articles = ["", "".join(rows[1:5]), "".join(rows[5:])]
    assert list(hub.joined(iter(rows), " = [^=]")) == articles
    assert list(hub.joined(iter(rows), None)) == rows


def test_text_files_refuses_a_name_that_is_not_utf_8(tmp_path):
    (tmp_path / "a.txt").write_text("text a")
    (tmp_path / "deeper").mkdir()
    config = TextData(path=str(tmp_path))
    assert len(corpus.text_files(config)[1]) == 1
    (tmp_path / "deeper" / os.fsdecode(b"caf\xe9.txt")).write_text("text b")
    message = r"data.path holds the file b'deeper/caf\\xe9.txt', whose name is not UTF-8: rename it"
    for read in (corpus.text_files, corpus.fingerprint, lambda c: list(corpus.documents(c))):
        with pytest.raises(PosextError, match=message):
            read(config)
