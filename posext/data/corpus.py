"""Documents of a corpus: the standard library of Python, local files, the hub, or synthetic."""

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posext.config import (
    HUB_ID,
    HUB_SPLITS,
    LETTERS,
    DataConfig,
    HubData,
    PythonData,
    SyntheticData,
    TextData,
)
from posext.data import near_duplicates, synthetic
from posext.utils.errors import PosextError

TABLES = {".jsonl": "json", ".parquet": "parquet"}  # by suffix, the loaders of `datasets`
FORMATS = (".txt", ".md", *TABLES)
NOT_STDLIB = {"site-packages", "dist-packages", "__pycache__"}


class Document(NamedTuple):
    """A text and the side of the split that it is on."""

    name: str  # the same on all machines if possible: the split depends on it
    text: str
    validation: bool


def documents(config: DataConfig, groups: dict[str, str] | None = None) -> Iterator[Document]:
    """Yield all documents of the corpus, in a fixed order.

    Args:
        config: The corpus.
        groups: The result of `near_copies`, to compute it once for several passes.

    Raises:
        PosextError: There are no documents, or one cannot be read.
    """
    if isinstance(config, SyntheticData):
        yield from synthetic_documents(config)
    elif isinstance(config, HubData):
        yield from from_hub(config)
    elif is_one_text(config):
        for name, text in named_texts(config):
            yield from halves(name, text, config.validation_share)
    else:
        if groups is None:
            groups = near_copies(config)
        for name, text in named_texts(config):
            yield Document(name, text, held_out(groups.get(name, name), config.validation_share))


def near_copies(config: DataConfig) -> dict[str, str]:
    """Map each document that has near-copies to the first name of its group.

    That name decides the side of the split, so a group is on one side. The map is empty for
    corpora that are not split by name: hub data sets, synthetic ones and single texts.
    """
    if isinstance(config, SyntheticData | HubData) or is_one_text(config):
        return {}
    return near_duplicates.first_names(named_texts(config))


def fingerprint(config: DataConfig) -> str:
    """Return a hash of the corpus: of local content, or of the identity of a hub data set."""
    # of every source, as runs store this hash
    column = getattr(config, "column", "text")
    document_start = getattr(config, "document_start", None)
    settings = (config.source, column, config.validation_share, document_start)
    digest = hashlib.sha256(" ".join(map(str, settings)).encode())
    if isinstance(config, HubData):
        digest.update(config.identity().encode())
    elif isinstance(config, SyntheticData):
        for tokens in synthetic.symbol_sequences(config):
            digest.update(tokens.tobytes())
    else:
        root, files = local_files(config)
        for path in files:
            digest.update(str(path.relative_to(root)).encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def held_out(name: str, share: float) -> bool:
    """Return whether a document is held out, by a hash of its name.

    So adding a document does not move others, except its own near-copies, which use the first
    name of their group.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 < share


def python_files() -> tuple[Path, list[Path]]:
    """Return the folder of the standard library and its files, sorted."""
    root = Path(sysconfig.get_path("stdlib"))
    files = root.rglob("*.py")
    return root, sorted(
        path for path in files if not NOT_STDLIB & set(path.relative_to(root).parts)
    )


def python_library() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the standard library's files."""
    root, files = python_files()
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # test files, in other encodings on purpose
            continue
        yield path.relative_to(root).as_posix(), text


def text_files(config: TextData) -> tuple[Path, list[Path]]:
    """Return the folder of data.path and the files in it, sorted.

    Raises PosextError if there are none of a known format.
    """
    path = Path(config.path or "").expanduser()
    if not path.exists():
        raise PosextError(f"data.path={config.path} does not exist")
    if path.is_file():
        root = path.parent
        files = [path]
    else:
        root = path
        files = sorted(p for p in path.rglob("*") if p.suffix in FORMATS and p.is_file())
    if not files or files[0].suffix not in FORMATS:
        raise PosextError(f"data.path={config.path} holds no {', '.join(FORMATS)} file")
    return root, files


def local_files(config: DataConfig) -> tuple[Path, list[Path]]:
    """Return the folder and the files of a local corpus.

    Raises PosextError if there are none.
    """
    if isinstance(config, PythonData):
        return python_files()
    assert isinstance(config, TextData)
    return text_files(config)


def local_texts(config: TextData) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each local file, or of each row of a table."""
    root, files = text_files(config)
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.suffix in TABLES:
            rows = enumerate(table_rows(path, TABLES[path.suffix], config.column))
            yield from ((f"{name}#{index}", text) for index, text in rows)
        else:
            yield name, plain_text(path)


def named_texts(config: DataConfig) -> Iterator[tuple[str, str]]:
    """Return (name, text) of the documents of a corpus split by name, without empty ones."""
    texts = local_texts(config) if isinstance(config, TextData) else python_library()
    return ((name, text) for name, text in texts if text)


def is_one_text(config: DataConfig) -> bool:
    """Return whether the corpus is a single text, which is cut in two: its end is held out."""
    if not isinstance(config, TextData):
        return False
    _, files = text_files(config)
    return len(files) == 1 and files[0].suffix not in TABLES


def synthetic_documents(config: SyntheticData) -> Iterator[Document]:
    """Yield synthetic documents as texts, one letter a symbol."""
    letters = np.frombuffer(LETTERS.encode(), dtype=np.uint8)
    for index, tokens in enumerate(synthetic.symbol_sequences(config)):
        name = f"{config.source}#{index}"
        text = letters[tokens].tobytes().decode()
        yield Document(name, text, held_out(name, config.validation_share))


def halves(name: str, text: str, share: float) -> Iterator[Document]:
    """Cut a text into a training part and a held-out end; yield those that are not empty."""
    cut = round(len(text) * (1 - share))
    for half, validation in ((text[:cut], False), (text[cut:], True)):
        if half:
            yield Document(name, half, validation)


def plain_text(path: Path) -> str:
    """Read a text file. Raises PosextError if it is not UTF-8 text."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PosextError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from error
    if "\0" in text:
        raise PosextError(f"{path} is not text: it holds a zero at character {text.index(chr(0))}")
    return text


def table_rows(path: Path, kind: str, column: str) -> Iterator[str]:
    """Yield a text column of a local table. Raises PosextError if it cannot be read."""
    from datasets import load_dataset
    from datasets.utils.logging import CRITICAL, disable_progress_bar, set_verbosity

    disable_progress_bar()
    set_verbosity(CRITICAL)  # errors are reported below
    try:
        rows: Any = load_dataset(kind, data_files=str(path), split="train")
    except Exception as error:  # datasets wraps the cause in its own types
        raise PosextError(f"{path} cannot be read as {kind}: {root_cause(error)}") from error
    return texts_of(rows, column, str(path))


def texts_of(rows: Any, column: str, where: str) -> Iterator[str]:
    """Yield a column of a data set. Raises PosextError if it is missing or has non-texts."""
    if column not in rows.column_names:
        raise PosextError(
            f"{where} has no column {column!r}; it has {', '.join(rows.column_names)} (data.column)"
        )
    for index, row in enumerate(rows):
        if not isinstance(row[column], str):
            raise PosextError(
                f"{where} holds {row[column]!r} in row {index} of column {column!r}, "
                "which is no text"
            )
        yield row[column]


def from_hub(config: HubData) -> Iterator[Document]:
    """Yield the train and validation documents of a data set on the hub.

    Documents of a data set with the split train alone are held out by their names.

    Raises PosextError if data.path is not an id, or the data set cannot be loaded.
    """
    from datasets import load_dataset

    if not re.fullmatch(HUB_ID, str(config.path)) or Path(str(config.path)).exists():
        raise PosextError(
            f"data.path={config.path} is no id on the hub, OWNER/NAME; data=text reads local files"
        )
    try:
        splits: Any = load_dataset(**config.request())
    except Exception as error:
        raise PosextError(
            f"the data set {config.path} could not be loaded from the hub "
            f"({root_cause(error)}); "
            "without a network use data=python or data=text data.path=..."
        ) from error
    names = [split for split in HUB_SPLITS if split in splits]
    for split in names:
        texts = texts_of(splits[split], config.column, str(config.path))
        for index, text in enumerate(joined(texts, config.document_start)):
            name = f"{split}#{index}"
            by_name = held_out(name, config.validation_share)
            yield Document(name, text, by_name if names == ["train"] else split != "train")


def joined(rows: Iterator[str], start: str | None) -> Iterator[str]:
    """Join rows into documents that begin at each row matching a pattern (WikiText's lines).

    Without a pattern, each row is a document.
    """
    if start is None:
        yield from rows
        return
    lines: list[str] = []
    for row in rows:
        if lines and re.match(start, row):
            yield "".join(lines)
            lines = []
        lines.append(row)
    if lines:
        yield "".join(lines)


def root_cause(error: BaseException) -> str:
    """Return the first line of the error that caused this one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]
