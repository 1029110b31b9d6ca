"""What a start reads of a corpus that is in the cache already."""

import os
import shutil
from pathlib import Path

import pytest

from posext.cli import corpora
from posext.config import TextData
from posext.data import corpus, dataset, integrity
from posext.data.integrity import is_intact


@pytest.fixture
def config(corpus, tmp_path):
    for path in corpus.iterdir():
        os.utime(path, (1e9, 1e9))  # long ago
    cache = str(tmp_path / "cache")
    return TextData(path=str(corpus), tokenizer="bytes", validation_share=0.3, cache=cache)


def load(config) -> Path:
    return dataset.load_data(config, progress=False).folder


def refuse(*_):
    pytest.fail("all bytes are read")


def test_load_data_reads_no_bytes_of_a_corpus_that_is_unchanged(config, monkeypatch):
    folder = load(config)
    monkeypatch.setattr(integrity, "digests", refuse)
    monkeypatch.setattr(corpus, "digest", refuse)
    assert load(config) == folder


def test_load_data_notices_a_changed_source(config, tmp_path):
    config.path = shutil.copytree(config.path, tmp_path / "copy")
    folder = load(config)
    file = next(Path(config.path).iterdir())
    file.write_text(file.read_text().swapcase())  # of the same size
    assert load(config) != folder


def test_is_intact_hashes_a_corpus_whose_times_are_new(config):
    """As of a copy: it is intact; with a byte changed it is not."""
    folder = load(config)
    os.utime(folder / "tokens.bin", (1e9, 1e9))
    assert is_intact(folder)
    content = bytearray((folder / "tokens.bin").read_bytes())
    content[100] ^= 1
    (folder / "tokens.bin").write_bytes(content)
    assert not is_intact(folder)


def test_corpora_check_finds_a_byte_that_a_disk_changed(config, monkeypatch, capsys):
    """A start does not, as size and time are what they were."""
    folder = load(config)
    monkeypatch.setattr("sys.argv", ["posext corpora", f"--cache={config.cache}", "--check"])
    corpora.main()
    assert folder.name in capsys.readouterr().out
    status = (folder / "tokens.bin").stat()
    content = bytearray((folder / "tokens.bin").read_bytes())
    content[100] ^= 1
    (folder / "tokens.bin").write_bytes(content)
    os.utime(folder / "tokens.bin", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert is_intact(folder)
    with pytest.raises(SystemExit):
        corpora.main()
    captured = capsys.readouterr()
    assert "damaged" in captured.out
    assert str(folder) in captured.err
