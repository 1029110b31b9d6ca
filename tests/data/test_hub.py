"""Data sets of the hub, streamed; a local parquet file stands for one."""

import json
from itertools import islice

import datasets
import pandas as pd
import pytest

from posext.config import HubData
from posext.data import corpus, hub
from posext.data.place import Place

ROWS = 5000


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serve rows as OWNER/NAME, with a split of held-out ones if asked."""
    real = datasets.load_dataset
    files = {}
    for split, count in (("train", ROWS), ("validation", 7)):
        texts = [f"{split} {i}" for i in range(count)]
        files[split] = str(tmp_path / f"{split}.parquet")
        pd.DataFrame({"text": texts}).to_parquet(files[split], row_group_size=700)

    def serve(*splits):
        chosen = {split: files[split] for split in splits}
        monkeypatch.setattr(
            datasets,
            "load_dataset",
            lambda path, name, streaming: real("parquet", data_files=chosen, streaming=streaming),
        )
        return HubData(path="owner/name", validation_share=0.1)

    return serve


def test_documents_of_the_hub_have_the_sides_of_its_splits(served):
    documents = list(corpus.documents(served("train", "validation")))
    assert [d.text for d in documents if d.validation] == [f"validation {i}" for i in range(7)]
    assert [d.name for d in documents[:2]] == ["train#0", "train#1"]
    assert len(documents) == ROWS + 7


def test_documents_of_the_hub_without_a_validation_split_are_split_by_name(served):
    documents = list(corpus.documents(served("train")))
    assert len(documents) == ROWS
    for document in documents:
        assert document.validation == corpus.held_out(document.name, 0.1)


def test_documents_of_the_hub_leave_the_training_split_unread(served, monkeypatch):
    config = served("train", "validation")
    read = []
    texts = hub.marked_texts
    monkeypatch.setattr(hub, "marked_texts", lambda *a: read.append(a[2]) or texts(*a))
    assert len(list(corpus.documents(config, held_out_only=True))) == 7
    assert read == ["validation"]


@pytest.mark.parametrize("stopped", [1, 999, 1000, 1001, 2500, ROWS, ROWS + 3])
def test_documents_of_the_hub_go_on_at_a_place(served, stopped):
    """What is read again is less than what lies between two marks."""
    config = served("train", "validation")
    expected = list(corpus.documents(config))
    place = Place()
    stream = corpus.documents(config, place=place)
    before = list(islice(stream, stopped))
    kept = Place(place.mark, place.since)
    assert kept.since <= hub.ROWS_OF_A_MARK
    stream.close()
    assert before + list(corpus.documents(config, place=kept)) == expected


@pytest.mark.parametrize("stops", [(2500, 10), (1001, 1), (ROWS + 3, 2)])
def test_documents_of_the_hub_go_on_when_stopped_twice_between_marks(served, stops):
    """A place that is kept before the first mark of a second reading is where that began."""
    config = served("train", "validation")
    expected = list(corpus.documents(config))
    kept = Place()
    found = []
    for stop in stops:
        stream = corpus.documents(config, place=kept)
        found += islice(stream, stop)
        kept = Place(*json.loads(json.dumps([kept.mark, kept.since])))
        stream.close()
    assert found + list(corpus.documents(config, place=kept)) == expected
