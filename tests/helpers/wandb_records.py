"""Read the records that wandb wrote offline.

They are protobuf messages in LevelDB's log format, behind a header of seven bytes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wandb.proto import wandb_internal_pb2

HEADER = 7
BLOCK = 32768
PREFIX = 7  # checksum (4), length (2), kind (1)
WHOLE = 1  # kinds of a chunk; 2 and 3 begin and continue a record
LAST = 4


class Recorded(NamedTuple):
    group: str
    history: list[dict[str, Any]]
    summary: dict[str, Any]


def records(path: Path) -> Iterator[wandb_internal_pb2.Record]:
    """Yield the records of a file."""
    return map(wandb_internal_pb2.Record.FromString, payloads(path.read_bytes()))


def tags(path: Path) -> list[str]:
    """Return a run's tags."""
    return next(list(record.run.tags) for record in records(path) if record.HasField("run"))


def artifacts(path: Path) -> dict[str, dict[str, Path]]:
    """Return the files that a run logged, by the name of the artifact and by their own."""
    logged = [each.request.log_artifact.artifact for each in records(path) if is_artifact(each)]
    logged += [record.artifact for record in records(path) if record.HasField("artifact")]
    return {
        artifact.name: {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
        for artifact in logged
    }


def is_artifact(record: wandb_internal_pb2.Record) -> bool:
    return record.HasField("request") and record.request.HasField("log_artifact")


def read(path: Path) -> Recorded:
    """Return a run's group, its rows of history and its final summary."""
    recorded = Recorded("", [], {})
    for record in records(path):
        if record.HasField("run"):
            recorded = recorded._replace(group=record.run.run_group)
        if record.HasField("history"):
            recorded.history.append(items(record.history.item))
        if record.HasField("summary"):
            recorded.summary.update(items(record.summary.update))
    return recorded


def payloads(content: bytes) -> Iterator[bytes]:
    """Yield every record of a file, put together from its chunks."""
    offset = HEADER
    parts = []
    while offset + PREFIX <= len(content):
        left = BLOCK - offset % BLOCK
        if left < PREFIX:
            offset += left
            continue
        size = int.from_bytes(content[offset + 4 : offset + 6], "little")
        kind = content[offset + 6]
        parts.append(content[offset + PREFIX : offset + PREFIX + size])
        offset += PREFIX + size
        if kind in (WHOLE, LAST):
            yield b"".join(parts)
            parts = []


def items(pairs: Any) -> dict[str, Any]:
    return {pair.key or ".".join(pair.nested_key): json.loads(pair.value_json) for pair in pairs}
