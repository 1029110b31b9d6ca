"""Tokenization of a corpus: by processes, in shards that are whole or absent, in parts."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import WORDS
from helpers.starts import CONTEXT

from posext.config import DataConfig, MarkovData, TextData
from posext.data import corpus, dataset, encoders, parts, tokenization, tokenizer
from posext.data.encoders import Encoder, encode_all
from posext.data.encoding import encode, token_type
from posext.data.journal import Journal
from posext.utils.errors import PosextError

SMALL_SHARD = 3000  # characters


def sentences(rng: random.Random, count: int) -> str:
    """Return lines of words, with words of its own in each."""
    words = [*WORDS, "été", "naïve", "日本", "don't", "x1=2;", "\t", "  "]
    lines = (" ".join(rng.choices(words, k=rng.randint(1, 14))) for _ in range(count))
    return "\n".join(lines) + "\n"


@pytest.fixture
def config(tmp_path) -> DataConfig:
    """A corpus of a file of rows, long texts and empty ones, in some forty small shards."""
    folder = tmp_path / "texts"
    folder.mkdir()
    rng = random.Random(0)
    rows = [json.dumps({"text": sentences(rng, rng.randint(1, 9))}) for _ in range(300)]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    for index in range(5):
        (folder / f"{index}.txt").write_text(sentences(rng, 5 + 40 * index))
    (folder / "empty.txt").write_text("")
    return TextData(
        path=str(folder), vocab_size=400, validation_share=0.2, cache=str(tmp_path / "cache")
    )


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    use_small_shards(monkeypatch.setattr)


def use_small_shards(set_value=setattr) -> None:
    for module in (tokenization, dataset):
        set_value(module, "HEADER", {"shard": SMALL_SHARD})
    set_value(tokenization, "SHARD_CHARACTERS", SMALL_SHARD)
    set_value(parts, "PART_CHARACTERS", SMALL_SHARD // 2)
    set_value(parts, "CUT_CHARACTERS", 200)


def load(config: DataConfig) -> dataset.Data:
    return dataset.load_data(config, progress=False)


def contents(cache: str) -> dict[str, bytes]:
    """Return the files of the only corpus in a cache."""
    (folder,) = (path for path in Path(cache).iterdir() if path.is_dir())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def load_and_be_killed(config: DataConfig, seconds: float) -> None:
    use_small_shards()
    encoders.cores = lambda: 1  # to start twenty times
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    load(config)


def test_load_data_killed_at_random_moments_equals_an_undisturbed_one(config, tmp_path):
    """Twenty kills, within twice the time that one start takes; every byte is the same."""
    begin = time.perf_counter()
    load(config)
    undisturbed = time.perf_counter() - begin
    expected = contents(config.cache)
    config.cache = str(tmp_path / "killed")
    rng = random.Random(1)
    kills = 0
    while kills < 20:
        process = CONTEXT.Process(
            target=load_and_be_killed, args=(config, 0.02 + rng.random() * undisturbed)
        )
        process.start()
        process.join(60)
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            assert contents(config.cache) == expected
            shutil.rmtree(config.cache)
    load(config)
    assert contents(config.cache) == expected
    assert not list(Path(config.cache).glob("*.journal"))


def test_load_data_goes_on_behind_the_last_shard(config, monkeypatch):
    """After an error in the middle no shard is encoded twice, and no file read before its place."""
    encoded: list[int] = []

    def failing_append(self, shard, tokens, lines, limit=8):
        if len(encoded) == limit:
            raise OSError("full")
        encoded.append(len(shard.names))
        append(self, shard, tokens, lines)

    append = Journal.append
    load(config)
    expected = contents(config.cache)
    shutil.rmtree(config.cache)
    monkeypatch.setattr(Journal, "append", failing_append)
    with pytest.raises(OSError, match="full"):
        load(config)
    names: list[str] = []
    read = corpus.table_rows
    monkeypatch.setattr(
        corpus, "table_rows", lambda path, *a: names.append(path.name) or read(path, *a)
    )
    monkeypatch.setattr(Journal, "append", lambda *a: encoded.append(len(a[1].names)) or append(*a))
    load(config)
    assert contents(config.cache) == expected
    documents = list(corpus.documents(config))
    assert sum(encoded) == len(documents)
    assert len(encoded) > 15


@pytest.mark.parametrize("damage", ["tokens", "lines", "journal", "cut", "header"])
def test_journal_cuts_off_what_is_not_whole(tmp_path, config, monkeypatch, damage):
    """A shard whose bytes did not reach the disk is made again, with all that came after it."""
    load(config)
    expected = contents(config.cache)
    shutil.rmtree(config.cache)
    append = Journal.append
    shards = []

    def stopping_append(*a):
        append(*a)
        shards.append(a)
        if len(shards) == 10:
            raise OSError("stopped")

    monkeypatch.setattr(Journal, "append", stopping_append)
    with pytest.raises(OSError, match="stopped"):
        load(config)
    monkeypatch.setattr(Journal, "append", append)
    (work,) = Path(config.cache).glob("*.journal")
    files = {
        "tokens": work.with_suffix(".unfinished") / "tokens.bin",
        "lines": work / "lines.bin",
        "journal": work / "journal",
        "cut": work / "journal",
        "header": work / "header.json",
    }
    content = bytearray(files[damage].read_bytes())
    content[len(content) // 2] ^= 1
    files[damage].write_bytes(content[:-3] if damage == "cut" else content)
    load(config)
    assert contents(config.cache) == expected


def test_tokenize_of_long_texts_gives_the_tokens_of_the_whole(config):
    """Parts are joined into one document, whose tokens and lines are those of the whole text."""
    tokens = load(config)
    whole = {
        name: "".join(part.text for part in parts)
        for name, parts in groupby(corpus.documents(config), lambda document: document.name)
    }
    assert len(whole) == 305
    assert max(map(len, whole.values())) > 3 * parts.PART_CHARACTERS
    for split in (tokens.train, tokens.validation):
        for index, name in enumerate(split.names):
            expected = tokens.tokenizer.encode(whole[name], add_special_tokens=False).ids
            assert split.document(index).tolist() == expected
    assert len(tokens.train.names) + len(tokens.validation.names) == len(whole)


@pytest.mark.parametrize("seed", range(5))
def test_in_parts_cuts_where_byte_level_tokenizers_do(seed):
    """At most PART_CHARACTERS each, wherever pieces begin, and exact for a BPE."""
    rng = random.Random(seed)
    text = sentences(rng, 400)
    encoder = tokenizer.trained_bpe(500, iter([text]))
    cut = list(parts.in_parts(parts.pieces_of(text)))
    sizes = iter(lambda: rng.randint(1, 900), None)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
        if start >= len(text):
            break
    assert list(parts.in_parts(pieces)) == cut
    assert "".join(cut) == text
    assert max(map(len, cut)) <= parts.PART_CHARACTERS
    assert len(cut) > 5
    joined = [index for part in cut for index in encoder.encode(part).ids]
    assert joined == encoder.encode(text).ids
    assert all(part.startswith("\n") for part in cut[1:])


def test_in_parts_of_a_text_without_words():
    assert list(map(len, parts.in_parts(["0" * 4000]))) == [1500, 1500, 1000]
    assert list(parts.in_parts(["", ""])) == []


def test_encode_all_keeps_the_order_of_texts_and_their_items(config, tmp_path):
    """More lists than processes and places in the queue; the last is the slowest to encode."""
    encoder = tokenizer.make("bytes", 0, iter(()))
    encoder.save(str(tmp_path / "bytes.json"))
    texts = [[f"text {i} " * (200 if i % 5 == 0 else 1), ""] for i in range(30)]
    encoded = list(encode_all(enumerate(texts), encoder, tmp_path / "bytes.json"))
    assert [item for item, _ in encoded] == list(range(30))
    for (_, result), (text, _) in zip(encoded, texts, strict=True):
        assert result == encode(encoder, [text, ""])
        decoded = encoder.decode(np.frombuffer(result.tokens, np.uint16).tolist())
        assert decoded == text
        assert result.token_counts == [len(text), 0]
        assert result.text_bytes == len(text)


def test_encode_all_reports_a_process_that_ended(tmp_path, monkeypatch):
    encoder = tokenizer.make("bytes", 0, iter(()))
    encoder.save(str(tmp_path / "bytes.json"))
    started = []

    class Dying(Encoder):
        def __init__(self, file):
            super().__init__(file)
            started.append(self.process)
            self.process.kill()

    monkeypatch.setattr(encoders, "Encoder", Dying)
    with pytest.raises(OSError, match="a process that tokenizes has ended with code -9"):
        list(encode_all(enumerate([["a"]] * 9), encoder, tmp_path / "bytes.json"))
    assert all(process.poll() is not None for process in started)


def test_encoders_end_with_the_process_that_started_them(config):
    """No process is left behind by a killed one."""
    process = CONTEXT.Process(target=start_encoders, args=(str(Path("pids")),))
    Path("bytes.json").write_text(tokenizer.make("bytes", 0, iter(())).to_str())
    process.start()
    while not Path("pids").is_file():
        time.sleep(0.01)
    pids = [int(line) for line in Path("pids").read_text().split()]
    process.kill()
    process.join()
    deadline = time.time() + 20
    while any(map(is_running, pids)):
        assert time.time() < deadline
        time.sleep(0.01)


def start_encoders(file: str) -> None:
    started = [Encoder(Path("bytes.json")) for _ in range(2)]
    assert started[0].encode(["ab"]).token_counts == [2]
    Path("made").write_text("\n".join(str(each.process.pid) for each in started))
    os.rename("made", file)
    time.sleep(60)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_load_held_out_has_the_held_out_documents_alone(config):
    whole = load(config)
    alone = dataset.load_held_out(config, whole, progress=False)
    assert list(alone.validation.names) == list(whole.validation.names)
    assert not len(alone.train.names)
    for index in range(len(alone.validation.names)):
        np.testing.assert_array_equal(
            alone.validation.document(index), whole.validation.document(index)
        )


def test_load_data_prints_the_speed(config, capsys):
    dataset.load_data(config)
    out = capsys.readouterr().out
    size = sum(len(document.text.encode()) for document in corpus.documents(config)) / 1e6
    assert f"tokenized {size:,.1f} MB of {config.path} in " in out
    assert "MB/s" in out


def test_names_are_found_by_number_and_in_slices(config):
    names = load(config).train.names
    assert names[0] == next(iter(names))
    assert names[-1] == list(names)[-1]
    assert list(names[2:9:3]) == list(names)[2:9:3]


def test_load_data_of_a_vocabulary_beyond_two_bytes():
    assert token_type(2**16) is np.uint16
    assert token_type(2**16 + 1) is np.uint32


def test_load_data_of_synthetic_documents_in_shards(tmp_path):
    config = MarkovData(documents=60, document_tokens=300, cache=str(tmp_path))
    tokens = load(config)
    names = sorted([*tokens.train.names, *tokens.validation.names], key=lambda n: int(n[7:]))
    assert names == [f"markov#{i}" for i in range(60)]
    assert (tokens.train.lengths == 300).all()


MEGABYTES = int(os.environ.get("POSEXT_TEST_MEGABYTES", "60"))
LIMIT = 2**30  # of resident memory


def write_rows(file: Path, megabytes: int) -> None:
    """Write short rows, of a vocabulary of 20,000 words, as a jsonl of so many megabytes."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i:x}" for i in range(20_000)])
    with open(file, "w") as opened:
        while opened.tell() < megabytes * 1e6:
            rows = words[rng.zipf(1.2, size=(1000, 30)) % len(words)]
            opened.writelines(json.dumps({"text": " ".join(row)}) + "\n" for row in rows)


def load_large(folder: str, queue: multiprocessing.Queue) -> None:
    """Load a corpus, and report the peak of memory of this process and of those it started."""
    import resource

    config = TextData(path=f"{folder}/rows.jsonl", vocab_size=2048, cache=f"{folder}/cache")
    tokens = dataset.load_data(config, progress=False)
    tokens.train.batch(0, 0, 16, 8)
    counts = [len(split.names) for split in (tokens.train, tokens.validation)]
    usage = [
        resource.getrusage(who).ru_maxrss * 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    queue.put((sum(counts), usage))


@pytest.mark.slow
def test_load_data_takes_less_than_a_gigabyte_at_any_size(tmp_path, monkeypatch):
    """Of short rows, whose near-copies would take 13 kB each to look for.

    POSEXT_TEST_MEGABYTES=4000 does it with 4 GB.
    """
    monkeypatch.undo()
    write_rows(tmp_path / "rows.jsonl", MEGABYTES)
    rows = (tmp_path / "rows.jsonl").read_bytes().count(b"\n")
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=load_large, args=(str(tmp_path), queue))
    process.start()
    documents, (own, largest_other) = queue.get()
    process.join()
    assert documents == rows
    assert own + largest_other < LIMIT


def test_load_data_of_a_corpus_without_training_documents(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n' * 4)
    config = TextData(
        path=str(tmp_path / "rows.jsonl"), validation_share=1 - 1e-9, cache=str(tmp_path / "cache")
    )
    with pytest.raises(PosextError, match=r"the 4 documents of .* leave none for training"):
        load(config)
    with pytest.raises(PosextError, match="leave none for training"):
        load(config)  # from the journal


def test_documents_reads_compressed_rows_as_plain_ones(tmp_path):
    """A compressed file may hold several streams, one after the other."""
    texts = [f"row {i} é" for i in range(3000)]
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    for name, kind in (("a.jsonl.gz", "gzip"), ("b.jsonl.zst", "zstd")):
        streams = (pa.Codec(kind).compress(part) for part in (content[:1000], content[1000:]))
        (tmp_path / name).write_bytes(b"".join(map(bytes, streams)))
    (tmp_path / "c.jsonl").write_bytes(content.replace(b"\n", b"\n\n"))
    pd.DataFrame({"text": texts}).to_parquet(tmp_path / "d.parquet", row_group_size=700)
    found = [
        (document.name, document.text)
        for document in corpus.documents(TextData(path=str(tmp_path)))
    ]
    files = ("a.jsonl.gz", "b.jsonl.zst", "c.jsonl", "d.parquet")
    assert found == [(f"{file}#{i}", text) for file in files for i, text in enumerate(texts)]
