"""Documents from where they come: the running Python's standard library, local files, the hub, or a law that is drawn from."""

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posext.config import HUB_ID, LETTERS, SYNTHETIC_SOURCES, DataConfig
from posext.data import near_duplicates, synthetic
from posext.utils.errors import PosextError

TABLES = {".jsonl": "json", ".parquet": "parquet"}  # and what `datasets` calls them
FORMATS = (".txt", ".md", *TABLES)
FOREIGN = {"site-packages", "dist-packages", "__pycache__"}


class Document(NamedTuple):
    name: str  # stable across machines where it can be: the split hangs on it
    text: str
    validation: bool


def documents(config: DataConfig, groups: dict[str, str] | None = None) -> Iterator[Document]:
    """All documents of the corpus, in a fixed order. Raises PosextError where there are none or one cannot be read.

    `groups` is what `near_copies` gives, for who reads the corpus more than once.
    """
    if config.source in SYNTHETIC_SOURCES:
        yield from synthetic_documents(config)
    elif config.source == "hub":
        yield from from_hub(config)
    elif one_text(config):
        for name, text in named_texts(config):
            yield from halves(name, text, config.validation_share)
    else:
        if groups is None:
            groups = near_copies(config)
        for name, text in named_texts(config):
            yield Document(name, text, held_out(groups.get(name, name), config.validation_share))


def near_copies(config: DataConfig) -> dict[str, str]:
    """The name that decides a document's side, where it is not its own: the first of its group of near-copies.

    So a group is on one side. There is none in corpora that are not split by name: with splits of their own, drawn, or a
    single text.
    """
    if config.source in SYNTHETIC_SOURCES or config.source == "hub" or one_text(config):
        return {}
    return near_duplicates.first_names(named_texts(config))


def fingerprint(config: DataConfig) -> str:
    """What the corpus is, without reading more than needed: content of what is local, the identity of a hub data set."""
    digest = hashlib.sha256(
        f"{config.source} {config.column} {config.validation_share} {config.document_start}".encode()
    )
    if config.source == "hub":
        digest.update(f"{config.path} {config.subset}".encode())
    elif config.source in SYNTHETIC_SOURCES:
        for tokens in synthetic.documents(config):
            digest.update(tokens.tobytes())
    else:
        root, files = python_files() if config.source == "python" else text_files(config)
        for path in files:
            digest.update(
                f"{path.relative_to(root)}".encode() + hashlib.sha256(path.read_bytes()).digest()
            )
    return digest.hexdigest()


def held_out(name: str, share: float) -> bool:
    """Whether a document belongs to validation: a hash of its name, so no later document moves an earlier one.

    Near-copies go by the first name of their group, so another document moves at most its own copies.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 < share


def python_files() -> tuple[Path, list[Path]]:
    root = Path(sysconfig.get_path("stdlib"))
    return root, sorted(
        path for path in root.rglob("*.py") if not FOREIGN & set(path.relative_to(root).parts)
    )


def python_library() -> Iterator[tuple[str, str]]:
    root, files = python_files()
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # test files that are in other encodings on purpose
            continue
        yield path.relative_to(root).as_posix(), text


def text_files(config: DataConfig) -> tuple[Path, list[Path]]:
    path = Path(config.path or "").expanduser()
    if not path.exists():
        raise PosextError(f"data.path={config.path} does not exist")
    files = (
        [path]
        if path.is_file()
        else sorted(p for p in path.rglob("*") if p.suffix in FORMATS and p.is_file())
    )
    if not files or files[0].suffix not in FORMATS:
        raise PosextError(f"data.path={config.path} holds no {', '.join(FORMATS)} file")
    return (path.parent if path.is_file() else path), files


def local_files(config: DataConfig) -> Iterator[tuple[str, str]]:
    root, files = text_files(config)
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.suffix in TABLES:
            rows = enumerate(table_rows(path, TABLES[path.suffix], config.column))
            yield from ((f"{name}#{index}", text) for index, text in rows)
        else:
            yield name, plain_text(path)


def named_texts(config: DataConfig) -> Iterator[tuple[str, str]]:
    """The documents of a corpus that is split by name, as (name, text), without the empty ones."""
    texts = python_library() if config.source == "python" else local_files(config)
    return ((name, text) for name, text in texts if text)


def one_text(config: DataConfig) -> bool:
    """Whether the corpus is a single text, which is cut in two: its end is held out."""
    if config.source != "text":
        return False
    _, files = text_files(config)
    return len(files) == 1 and files[0].suffix not in TABLES


def synthetic_documents(config: DataConfig) -> Iterator[Document]:
    letters = np.frombuffer(LETTERS.encode(), dtype=np.uint8)
    for index, tokens in enumerate(synthetic.documents(config)):
        name = f"{config.source}#{index}"
        yield Document(
            name, letters[tokens].tobytes().decode(), held_out(name, config.validation_share)
        )


def halves(name: str, text: str, share: float) -> Iterator[Document]:
    cut = round(len(text) * (1 - share))
    yield from (
        Document(name, part, end) for part, end in ((text[:cut], False), (text[cut:], True)) if part
    )


def plain_text(path: Path) -> str:
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
    from datasets import load_dataset
    from datasets.utils.logging import CRITICAL, disable_progress_bar, set_verbosity

    disable_progress_bar()
    set_verbosity(CRITICAL)  # what goes wrong is said below
    try:
        rows: Any = load_dataset(kind, data_files=str(path), split="train")
    except Exception as error:  # datasets wraps what went wrong in errors of its own
        raise PosextError(f"{path} cannot be read as {kind}: {root_cause(error)}") from error
    return texts_of(rows, column, str(path))


def texts_of(rows: Any, column: str, where: str) -> Iterator[str]:
    """A column of a data set. Raises PosextError where there is none, or it holds anything but texts."""
    if column not in rows.column_names:
        raise PosextError(
            f"{where} has no column {column!r}; it has {', '.join(rows.column_names)} (data.column)"
        )
    for index, row in enumerate(rows):
        if not isinstance(row[column], str):
            raise PosextError(
                f"{where} holds {row[column]!r} in row {index} of column {column!r}, which is no text"
            )
        yield row[column]


def from_hub(config: DataConfig) -> Iterator[Document]:
    from datasets import load_dataset

    if not re.fullmatch(HUB_ID, str(config.path)) or Path(str(config.path)).exists():
        raise PosextError(
            f"data.path={config.path} is no id on the hub, OWNER/NAME; data=text reads local files"
        )
    for split in ("train", "validation"):
        try:
            rows: Any = load_dataset(str(config.path), config.subset, split=split)
        except Exception as error:
            raise PosextError(
                f"the data set {config.path} could not be loaded from the hub ({root_cause(error)}); "
                "without a network use data=python or data=text data.path=..."
            ) from error
        texts = texts_of(rows, config.column, str(config.path))
        for index, text in enumerate(joined(texts, config.document_start)):
            yield Document(f"{split}#{index}", text, split == "validation")


def joined(rows: Iterator[str], start: str | None) -> Iterator[str]:
    """Rows as documents; given a pattern, the runs of rows that begin at every row it matches (WikiText's lines)."""
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
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]
