"""Read back what wandb recorded offline: protobuf records in LevelDB's log format behind a header of seven bytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wandb.proto import wandb_internal_pb2

HEADER, BLOCK, PREFIX = 7, 32768, 7  # a prefix is checksum (4), length (2), kind (1)
WHOLE, LAST = 1, 4  # kinds of a chunk; 2 and 3 begin and continue a record


class Recorded(NamedTuple):
    group: str
    history: list[dict[str, Any]]
    summary: dict[str, Any]


def read(path: Path) -> Recorded:
    """A run's group, its rows of history and its final summary."""
    recorded = Recorded("", [], {})
    for data in payloads(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        if record.HasField("run"):
            recorded = recorded._replace(group=record.run.run_group)
        if record.HasField("history"):
            recorded.history.append(items(record.history.item))
        if record.HasField("summary"):
            recorded.summary.update(items(record.summary.update))
    return recorded


def payloads(content: bytes) -> Iterator[bytes]:
    at, parts = HEADER, []
    while at + PREFIX <= len(content):
        left = BLOCK - at % BLOCK
        if left < PREFIX:
            at += left
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts.append(content[at + PREFIX : at + PREFIX + size])
        at += PREFIX + size
        if kind in (WHOLE, LAST):
            yield b"".join(parts)
            parts = []


def items(pairs: Any) -> dict[str, Any]:
    return {pair.key or ".".join(pair.nested_key): json.loads(pair.value_json) for pair in pairs}
