"""Documents of a corpus: the standard library of Python, local files, the hub, or synthetic."""

import hashlib
import os
import sysconfig
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posext.config import LETTERS, DataConfig, HubData, PythonData, SyntheticData, TextData
from posext.data import hub, near_duplicates, synthetic
from posext.data.local_files import FORMATS, is_table, table_rows, text_pieces
from posext.data.parts import in_parts, pieces_of
from posext.data.place import Place
from posext.utils.atomic import digest
from posext.utils.errors import PosextError

NOT_STDLIB = {"site-packages", "dist-packages", "__pycache__"}
# Near-copies are looked for in corpora of no more: they take some 13 kB a document and 8 bytes a
# line.
MOST_DOCUMENTS = 20_000
MOST_BYTES = 2**30


class Document(NamedTuple):
    """A text, or a part of one, and the side of the split that it is on.

    Parts of one text follow one another under one name.
    """

    name: str  # the same on all machines if possible: the split depends on it
    text: str
    validation: bool


def documents(
    config: DataConfig,
    groups: dict[str, str] | None = None,
    place: Place | None = None,
    held_out_only: bool = False,
) -> Generator[Document]:
    """Yield the documents of the corpus, in a fixed order; long ones in parts.

    Args:
        config: The corpus.
        groups: The result of `near_copies`, to compute it once for several passes.
        place: Reading begins there, and moves it on.
        held_out_only: Whether to leave out training documents.

    Raises:
        PosextError: There are no documents, or one cannot be read.
    """
    place = place or Place()
    skipped, place.since = place.since, 0
    for index, document in enumerate(source_of(config, groups, place, held_out_only)):
        place.since += 1
        if index >= skipped and (document.validation or not held_out_only):
            yield document


def source_of(
    config: DataConfig, groups: dict[str, str] | None, place: Place, held_out_only: bool
) -> Iterator[Document]:
    """Yield the documents of the corpus, whatever its source, as `documents` does."""
    share = config.validation_share
    if isinstance(config, SyntheticData):
        yield from synthetic_documents(config)
    elif isinstance(config, HubData):
        for name, text, validation in hub.named_parts(config, place, held_out_only):
            side = held_out(name, share) if validation is None else validation
            yield Document(name, text, side)
    elif is_one_text(config):
        yield from halves(config, place)
    else:
        if groups is None:
            groups = near_copies(config)
        for name, text in named_texts(config, place):
            yield Document(name, text, held_out(groups.get(name, name), share))


def near_copies(config: DataConfig) -> dict[str, str]:
    """Map each document that has near-copies to the first name of its group.

    That name decides the side of the split, so a group is on one side. The map is empty for
    corpora in which near-copies are not looked for: see `has_near_copies`.
    """
    return near_duplicates.first_names(named_texts(config)) if has_near_copies(config) else {}


def has_near_copies(config: DataConfig) -> bool:
    """Return whether near-copies are looked for in a corpus.

    They are not in hub data sets, synthetic corpora and single texts, nor where their index would
    not fit into memory.
    """
    if isinstance(config, SyntheticData | HubData) or is_one_text(config):
        return False
    _, files = local_files(config)
    if sum(path.stat().st_size for path in files) > MOST_BYTES:
        return False
    tables = [path for path in files if is_table(path)]
    rows = (row for path in tables for row in table_rows(path, column_of(config), Place()))
    most_rows = MOST_DOCUMENTS - (len(files) - len(tables))
    return sum(1 for _ in islice(rows, max(0, most_rows) + 1)) <= most_rows


def fingerprint(config: DataConfig) -> str:
    """Return a hash of the corpus: of local content, or of the identity of a hub data set."""
    # of every source, as runs store this hash
    document_start = getattr(config, "document_start", None)
    settings = (config.source, column_of(config), config.validation_share, document_start)
    content = hashlib.sha256(" ".join(map(str, settings)).encode())
    if isinstance(config, HubData):
        hub.check_id(config)
        content.update(config.identity().encode())
    elif isinstance(config, SyntheticData):
        for tokens in synthetic.symbol_sequences(config):
            content.update(tokens.tobytes())
    else:
        root, files = local_files(config)
        for path in files:
            content.update(str(path.relative_to(root)).encode())
            content.update(bytes.fromhex(digest(path)))
    return content.hexdigest()


def column_of(config: DataConfig) -> str:
    """Return the column of the texts in tables."""
    return getattr(config, "column", "text")


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


def text_files(config: TextData) -> tuple[Path, list[Path]]:
    """Return the folder of data.path and the files in it, sorted.

    Raises PosextError if there are none of a known format, or one's name is not UTF-8.
    """
    path = Path(config.path or "").expanduser()
    if not path.exists():
        raise PosextError(f"data.path={config.path} does not exist")
    if path.is_file():
        root = path.parent
        files = [path] if path.name.endswith(FORMATS) else []
    else:
        root = path
        files = sorted(p for p in path.rglob("*") if p.name.endswith(FORMATS) and p.is_file())
    if not files:
        raise PosextError(f"data.path={config.path} holds no {', '.join(FORMATS)} file")
    for file in files:
        check_name(str(file.relative_to(root)))
    return root, files


def check_name(name: str) -> None:
    """Raise PosextError for a file's name that is not UTF-8: documents.parquet holds no other."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise PosextError(
            f"data.path holds the file {os.fsencode(name)!r}, whose name is not UTF-8: rename it"
        ) from error


def local_files(config: DataConfig) -> tuple[Path, list[Path]]:
    """Return the folder and the files of a local corpus.

    Raises PosextError if there are none.
    """
    if isinstance(config, PythonData):
        return python_files()
    assert isinstance(config, TextData)
    return text_files(config)


def named_texts(config: DataConfig, place: Place | None = None) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the documents of local files, without empty ones; long ones in parts.

    Each file is a document, or each row of a table. A place is marked by the number of a file.
    """
    place = place or Place()
    root, files = local_files(config)
    sizes = [path.stat().st_size for path in files]
    first = place.mark or 0
    place.total = sum(sizes)
    for number in range(first, len(files)):
        path = files[number]
        place.marked(number)
        place.done = sum(sizes[:number])
        name = path.relative_to(root).as_posix()
        if is_table(path):
            rows = table_rows(path, column_of(config), place)
            for index, text in enumerate(rows):
                yield from ((f"{name}#{index}", part) for part in in_parts(pieces_of(text)))
        else:
            pieces = text_pieces(path, place)
            if isinstance(config, PythonData):
                pieces = python_text(path)
            yield from ((name, part) for part in in_parts(pieces))


def python_text(path: Path) -> Iterator[str]:
    """Yield the text of a file, if it is UTF-8: tests of the library are not, on purpose."""
    try:
        yield path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return


def is_one_text(config: DataConfig) -> bool:
    """Return whether the corpus is a single text, which is cut in two: its end is held out."""
    if not isinstance(config, TextData):
        return False
    _, files = text_files(config)
    return len(files) == 1 and not is_table(files[0])


def halves(config: DataConfig, place: Place) -> Iterator[Document]:
    """Cut the only text into a training part and a held-out end; yield those that are not empty."""
    root, (path,) = local_files(config)
    name = path.relative_to(root).as_posix()
    place.total = path.stat().st_size
    cut = round(sum(map(len, text_pieces(path))) * (1 - config.validation_share))
    for validation in (False, True):
        half = half_of(text_pieces(path, place), cut, validation)
        yield from (Document(name, part, validation) for part in in_parts(half))
        place.done = 0  # the second half reads the file from its start


def half_of(pieces: Iterable[str], cut: int, second: bool) -> Iterator[str]:
    """Yield the pieces before a character, or those from it on."""
    start = 0
    for piece in pieces:
        here = min(max(cut - start, 0), len(piece))
        if half := piece[here:] if second else piece[:here]:
            yield half
        start += len(piece)
        if start >= cut and not second:
            return


def synthetic_documents(config: SyntheticData) -> Iterator[Document]:
    """Yield synthetic documents as texts, one letter a symbol."""
    letters = np.frombuffer(LETTERS.encode(), dtype=np.uint8)
    for index, tokens in enumerate(synthetic.symbol_sequences(config)):
        name = f"{config.source}#{index}"
        text = letters[tokens].tobytes().decode()
        yield Document(name, text, held_out(name, config.validation_share))
