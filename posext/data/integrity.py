"""Whether the files of a cached corpus are those that were written.

At each start their sizes and times of writing are compared with those remembered beside the folder,
which takes milliseconds at any size and notices a file that is missing, cut short or written again.
Where they differ, as after a copy of the folder, all bytes are hashed; `posext corpora --check`
does that at any time, and notices what a disk changes by itself.
"""

import json
from pathlib import Path

from posext.utils.atomic import digests, write_text

DIGESTS = "sha256.json"
REMEMBERED = ".stat.json"  # beside the folder, as that is hashed


def is_intact(folder: Path) -> bool:
    """Return whether a cached corpus is what was written, by sizes and times or by its hashes."""
    try:
        known = json.loads(folder.with_suffix(REMEMBERED).read_text())
    except (OSError, ValueError):
        known = None
    if known == stats(folder):
        return True
    if not matches_hashes(folder):
        return False
    remember(folder)
    return True


def write_digests(folder: Path) -> None:
    """Write the hashes of all files of a corpus beside them."""
    write_text(folder / DIGESTS, json.dumps(own_digests(folder)))


def matches_hashes(folder: Path) -> bool:
    """Return whether the files of a cached corpus match their hashes."""
    try:
        return json.loads((folder / DIGESTS).read_text()) == own_digests(folder)
    except (OSError, ValueError):
        return False


def own_digests(folder: Path) -> dict[str, str]:
    """Return the hashes of the files of a corpus, but for the file of hashes."""
    return {name: value for name, value in digests(folder).items() if name != DIGESTS}


def remember(folder: Path) -> None:
    """Remember the sizes and times of files that match their hashes, if the cache takes it."""
    try:
        write_text(folder.with_suffix(REMEMBERED), json.dumps(stats(folder)))
    except OSError:  # a cache that others share, and that cannot be written
        return


def stats(folder: Path) -> dict[str, list[int]]:
    """Return the size in bytes and the time of writing in nanoseconds of each file."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
