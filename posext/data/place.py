"""How far a corpus has been read."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Place:
    """A place in the parts of documents of a corpus, moved on by whoever reads them.

    Attributes:
        mark: Where reading can begin again, as JSON: a source's own; None for the start.
        since: Parts since the mark.
        done: Bytes read of the files, or characters of a hub data set.
        total: All of them; 0 if that is not known.
    """

    mark: Any = None
    since: int = 0
    done: int = 0
    total: int = 0

    def marked(self, mark: Any) -> None:
        """Set the mark here."""
        self.mark = mark
        self.since = 0
