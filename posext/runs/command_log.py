"""The commands that made a run and its curves, as they were typed: commands.jsonl in its folder."""

import json
import shlex
from pathlib import Path

from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

LOG_FILE = "commands.jsonl"


def record_command(folder: Path, entry: str, arguments: list[str]) -> None:
    """Append a command to the log of a run, unless it is there; call it under the run's lock.

    Args:
        folder: The folder of the run.
        entry: The entry point: train or evaluate.
        arguments: What was typed after it.
    """
    line = json.dumps([entry, *arguments])
    lines = read_lines(folder)
    if line not in lines:
        write_text(folder / LOG_FILE, "".join(f"{each}\n" for each in [*lines, line]))


def recorded_commands(folder: Path) -> list[str]:
    """Return the commands of a run for a shell, in the order in which they were first typed.

    There are none for a run made before commands were recorded, or from Python. Raises PosextError
    if the log is damaged.
    """
    commands = []
    for line in read_lines(folder):
        try:
            entry, *arguments = map(str, json.loads(line))
        except (ValueError, TypeError) as error:
            raise PosextError(f"{folder / LOG_FILE} is damaged: {error}") from error
        commands.append(" ".join(["python -m", f"posext.{entry}", *map(shlex.quote, arguments)]))
    return commands


def read_lines(folder: Path) -> list[str]:
    """Return the lines of the log; none without one."""
    file = folder / LOG_FILE
    return file.read_text().splitlines() if file.is_file() else []
