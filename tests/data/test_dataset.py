import json
import multiprocessing
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from posext.config import DataConfig
from posext.data import corpus, dataset, tokenizer
from posext.data.recall import mixing
from posext.data.recall.pool import Pool
from posext.position_ids.draws import generator
from posext.utils.rng import Stream, step_generator


@pytest.fixture
def config(corpus, tmp_path):
    return DataConfig(
        source="text",
        path=str(corpus),
        tokenizer="bytes",
        validation_share=0.3,
        cache=str(tmp_path / "cache"),
    )


def split_of(*documents: list[int]) -> dataset.Split:
    lengths = np.array([len(document) for document in documents])
    tokens = np.concatenate([np.array(document, dtype=np.uint16) for document in documents])
    return dataset.Split(
        tokens, np.cumsum(lengths) - lengths, lengths, [f"d{i}" for i in range(len(documents))]
    )


def test_documents_come_back_token_by_token(config):
    tokens = dataset.load_data(config, progress=False)
    texts = {document.name: document for document in corpus.documents(config)}
    assert len(texts) == 40
    for split, validation in ((tokens.train, False), (tokens.validation, True)):
        assert len(split.names) == sum(
            document.validation == validation for document in texts.values()
        )
        for index, name in enumerate(split.names):
            assert tokens.tokenizer.decode(split.document(index).tolist()) == texts[name].text
            assert texts[name].validation == validation


def test_windows_lie_within_one_document_and_name_their_origin():
    split = split_of(list(range(100, 120)), list(range(200, 205)), list(range(300, 330)))
    windows, origins = split.batch(0, 0, 8, 500)
    assert windows.shape == (500, 9)
    for window, origin in zip(windows.tolist(), origins, strict=True):
        document, offset = origin.split(":")
        first = (int(document[1:]) + 1) * 100 + int(offset)
        assert window == list(range(first, first + 9))


def test_every_window_is_equally_likely():
    split = split_of(list(range(12)), list(range(20, 25)), list(range(40, 49)))
    windows, _ = split.batch(0, 0, 4, 60_000)
    counts = Counter(windows[:, 0].tolist())
    assert sorted(counts) == [*range(8), 20, *range(40, 45)]
    assert max(counts.values()) / min(counts.values()) < 1.15


def test_a_batch_is_a_pure_function_of_seed_and_step():
    split = split_of(list(range(1000)))
    first = split.batch(1, 5, 16, 8)[0]
    split.batch(1, 6, 16, 8)
    assert split.batch(1, 5, 16, 8)[0].equal(first)
    assert not split.batch(1, 6, 16, 8)[0].equal(first)
    assert not split.batch(2, 5, 16, 8)[0].equal(first)


def test_a_length_that_no_document_has_is_refused_with_the_longest():
    with pytest.raises(ValueError, match=r"no document has 65 tokens.*the longest has 64"):
        split_of(list(range(64)), [1, 2]).batch(0, 0, 64, 1)


def test_the_split_hangs_on_names_alone():
    assert [corpus.held_out(name, 0.0) for name in "abc"] == [False] * 3
    assert [corpus.held_out(name, 1.0) for name in "abc"] == [True] * 3
    share = np.mean([corpus.held_out(f"folder/{i}.py", 0.1) for i in range(5000)])
    assert share == pytest.approx(0.1, abs=0.015)


def test_the_fingerprint_follows_the_content(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    config = DataConfig(source="text", path=str(tmp_path))
    before = corpus.fingerprint(config)
    assert corpus.fingerprint(config) == before
    (tmp_path / "a.txt").write_text("two")
    assert corpus.fingerprint(config) != before


def test_local_files_of_every_kind_are_read(tmp_path):
    (tmp_path / "a.txt").write_text("text a\nwith lines\n\nand a gap")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "b.md").write_text("# text b")
    (tmp_path / "c.jsonl").write_text(
        "".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(3))
    )
    pd.DataFrame({"text": ["cell 0", "cell 1"]}).to_parquet(tmp_path / "d.parquet")
    documents = {
        d.name: d.text for d in corpus.documents(DataConfig(source="text", path=str(tmp_path)))
    }
    assert documents == {
        "a.txt": "text a\nwith lines\n\nand a gap", "deeper/b.md": "# text b", "c.jsonl#0": "row 0", "c.jsonl#1": "row 1",
        "c.jsonl#2": "row 2", "d.parquet#0": "cell 0", "d.parquet#1": "cell 1",
    }  # fmt: skip


def test_one_text_is_cut_and_its_end_held_out(tmp_path):
    (tmp_path / "book.txt").write_text("0123456789" * 10)
    head, tail = corpus.documents(
        DataConfig(source="text", path=str(tmp_path / "book.txt"), validation_share=0.2)
    )
    assert (head.text + tail.text, len(tail.text)) == ("0123456789" * 10, 20)
    assert (head.validation, tail.validation) == (False, True)


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        (None, {"path": "nowhere"}, "does not exist"),
        (b"", {}, "leave none for"),
        (b"good \xff\xfe bad", {}, "is not UTF-8 text: invalid start byte at byte 5"),
        (b"{not json", {"name": "a.jsonl"}, "cannot be read as json"),
        (b'{"body": "x"}\n', {"name": "a.jsonl"}, "no column 'text'; it has body"),
        (b"x", {"name": "a.pdf"}, "holds no .txt"),
        (b"only one short text", {"tokenizer": "no/such/tokenizer"}, "neither bpe, bytes"),
        (b"only one short text", {"tokenizer": "bpe", "vocab_size": 9}, "at least 256"),
    ],
)
def test_bad_corpora_are_refused_and_leave_nothing_half_made(
    tmp_path, content, settings, says, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = dict(settings)
    name = settings.pop("name", "a.txt")
    folder = tmp_path / "corpus"
    folder.mkdir()
    if content is not None:
        (folder / name).write_bytes(content)
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match=says):
        dataset.load_data(
            DataConfig(
                source="text",
                cache=str(cache),
                **{"path": str(folder), "tokenizer": "bytes"} | settings,
            )
        )
    assert not [path for path in cache.glob("*") if path.is_dir() and path.suffix != ".unfinished"]


def test_rows_are_joined_into_articles_where_one_begins():
    rows = ["", " = First = ", " text ", " = = Part = = ", " more ", " = Second = ", " text "]
    assert list(corpus.joined(iter(rows), " = [^=]")) == ["", "".join(rows[1:5]), "".join(rows[5:])]
    assert list(corpus.joined(iter(rows), None)) == rows


def load_in_a_process(config, queue):
    queue.put(dataset.load_data(config, progress=False).fingerprint)


def test_several_processes_that_start_at_once_make_one_cache(config, tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=load_in_a_process, args=(config, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    found = {queue.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == list(found)


TEXTS = [
    "naïve café — 中文 🙂\n",
    "def f(x):\n\treturn x ** 2  # ünïcode\n",
    "plain words, plain words",
]


def wordpiece_like():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {"<unk>": 0, "▁plain": 1, "▁words": 2, ",": 3, "▁": 4}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    made.decoder = decoders.Metaspace()
    made.add_special_tokens(["<s>"])
    return made


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_bytes_per_token_add_up_to_the_text(kind):
    made = tokenizer.make(kind, 300, iter(TEXTS * 3))
    counts = tokenizer.bytes_per_token(made)
    for text in TEXTS:
        ids = made.encode(text, add_special_tokens=False).ids
        assert made.decode(ids) == text
        assert counts[ids].sum() == len(text.encode())
    assert made.get_vocab_size() == (300 if kind == "bpe" else 256)


def test_bytes_per_token_of_a_foreign_vocabulary():
    made = wordpiece_like()
    counts = tokenizer.bytes_per_token(made)
    assert (
        counts[made.encode("plain words, plain words", add_special_tokens=False).ids].sum()
        == len(TEXTS[2]) + 1
    )
    assert counts[made.token_to_id("<s>")] == 0


def test_a_tokenizer_file_is_used_as_it_is(tmp_path):
    made = tokenizer.make("bpe", 280, iter(TEXTS))
    made.save(str(tmp_path / "tokenizer.json"))
    for given in (tmp_path, tmp_path / "tokenizer.json"):
        assert tokenizer.make(str(given), 0, iter([])).get_vocab() == made.get_vocab()


def test_step_generator_draws_the_same_numbers_on_every_stream_for_good(monkeypatch):
    """Runs are resumed, and compared with older ones, by these numbers."""
    split = split_of(range(100), range(100, 300))
    windows, origins = split.batch(3, 7, 8, 4)
    assert windows[:, 0].tolist() == [83, 113, 0, 197]
    assert origins == ["d0:83", "d1:13", "d0:0", "d1:97"]

    monkeypatch.setattr(mixing, "pool_of", lambda tokens: Pool(np.arange(300, 364), 0))
    tokens, half = SimpleNamespace(train=split), DataConfig(recall_share=0.5)
    windows, _ = mixing.batch(tokens, half, 3, 7, 16, 4)
    assert (windows.numpy() >= 300).sum(axis=1).tolist() == [8, 0, 8, 0]
    written = [[359, 349, 354, 322] * 2, [315, 322, 363, 340] * 2]
    assert [row[row >= 300].tolist() for row in windows[::2]] == written
    assert windows[0].tolist().index(359) == 2

    assert generator((3, 7)).integers(1000, size=6).tolist() == [355, 283, 687, 437, 997, 179]


def test_step_generator_gives_streams_and_steps_numbers_of_their_own():
    draws = {
        tuple(step_generator(0, step, stream).integers(2**60, size=100_000)[[0, 1, -1]].tolist())
        for step in (0, 1)
        for stream in Stream
    }
    assert len(draws) == 2 * len(Stream)
