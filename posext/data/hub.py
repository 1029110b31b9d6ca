"""Texts of a data set on the hub, streamed: nothing but the tokens is stored."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posext.config import HUB_ID, HUB_SPLITS, HubData
from posext.data.parts import in_parts, pieces_of
from posext.data.place import Place
from posext.utils.errors import PosextError

ROWS_OF_A_MARK = 1000  # rows after which the place is marked


def named_parts(
    config: HubData, place: Place, held_out_only: bool
) -> Iterator[tuple[str, str, bool | None]]:
    """Yield (name, text, validation) of the documents of a data set; long ones in parts.

    `validation` is None if the data set has the split train alone. A place is marked by a split,
    the rows read of it, and the state of `datasets` behind them, None where the split begins.

    Args:
        config: The data set.
        place: Reading begins at its mark.
        held_out_only: Whether to leave out the split train, if there is another.

    Raises:
        PosextError: data.path is not an id, or the data set cannot be loaded.
    """
    splits = load(config)
    names = [name for name in HUB_SPLITS if name in splits]
    if not names:
        raise PosextError(
            f"the data set {config.path} has none of the splits {', '.join(HUB_SPLITS)}; "
            f"it has {', '.join(splits)}"
        )
    place.total = sum(size_of(splits[name]) for name in names)
    begun, first, state = place.mark or (names[0], 0, None)
    for name in names[names.index(begun) :]:
        side = None if names == ["train"] else name == "validation"
        if side is False and held_out_only:
            continue
        rows = splits[name]
        if name != begun:
            first, state = 0, None
        if state is not None:
            rows.load_state_dict(state)
        place.marked([name, first, state])  # rows.state_dict() is that of row 0 until one is read
        texts = marked_texts(rows, config, name, first, place)
        for index, text in enumerate(joined(texts, config.document_start), start=first):
            for part in in_parts(pieces_of(text)):
                yield f"{name}#{index}", part, side


def check_id(config: HubData) -> None:
    """Raise PosextError for a path that is not OWNER/NAME, or that is a local one."""
    if not re.fullmatch(HUB_ID, str(config.path)) or Path(str(config.path)).exists():
        raise PosextError(
            f"data.path={config.path} is no id on the hub, OWNER/NAME; data=text reads local files"
        )


def load(config: HubData) -> Any:
    """Open the splits of a data set as streams. Raises PosextError if that is not possible."""
    from datasets import load_dataset

    check_id(config)
    try:
        return load_dataset(**config.request(), streaming=True)
    except Exception as error:  # datasets wraps the cause in its own types
        raise refusal(config, error) from error


def marked_texts(rows: Any, config: HubData, split: str, first: int, place: Place) -> Iterator[str]:
    """Yield the texts of a split, and mark the place every thousand rows.

    Rows that are joined into documents are not marked.
    """
    stream = iter(rows)
    index = first
    while True:
        try:
            row = next(stream, None)
        except Exception as error:  # of the network, by many libraries
            raise refusal(config, error) from error
        if row is None:
            return
        text = text_of(row, config, index)
        place.done += len(text)
        index += 1
        yield text
        if config.document_start is None and index % ROWS_OF_A_MARK == 0:
            place.marked([split, index, rows.state_dict()])


def text_of(row: dict[str, Any], config: HubData, index: int) -> str:
    """Return the text of a row. Raises PosextError if it has none."""
    if config.column not in row:
        raise PosextError(
            f"{config.path} has no column {config.column!r}; it has {', '.join(row)} (data.column)"
        )
    text = row[config.column]
    if not isinstance(text, str):
        raise PosextError(
            f"{config.path} holds {text!r} in row {index} of column {config.column!r}, "
            "which is no text"
        )
    return text


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


def size_of(rows: Any) -> int:
    """Return the bytes of a split, 0 if the data set does not tell."""
    info = (getattr(rows.info, "splits", None) or {}).get(str(rows.split))
    return getattr(info, "num_bytes", None) or 0


def refusal(config: HubData, error: Exception) -> PosextError:
    """Return the error of a data set that could not be loaded."""
    return PosextError(
        f"the data set {config.path} could not be loaded from the hub ({root_cause(error)}); "
        "without a network use data=python or data=text data.path=..."
    )


def root_cause(error: BaseException) -> str:
    """Return the first line of the error that caused this one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]
