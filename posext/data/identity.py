"""What a corpus is, without reading all of its files at each start."""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from posext.config import DataConfig, HubData, SyntheticData
from posext.data import corpus
from posext.utils.atomic import write_text

# A file written less than this before it was read might be written again within the resolution of
# its time, so that it is read at the next start too.
SETTLED_SECONDS = 2.0


class Identity(NamedTuple):
    """The content of a corpus, and whether near-copies were kept on one side of its split."""

    fingerprint: str
    by_name_alone: bool  # near-copies were not looked for, though it is split by names


def identity_of(config: DataConfig, cache: Path) -> Identity:
    """Return the identity of a corpus.

    That of local files is remembered in the cache for their names, sizes and times of writing.
    """
    if isinstance(config, SyntheticData | HubData):
        return Identity(corpus.fingerprint(config), False)
    begin = time.time()
    root, files = corpus.local_files(config)
    listing = []
    newest = 0.0
    for path in files:
        status = path.stat()
        newest = max(newest, status.st_mtime)
        listing.append((str(path.relative_to(root)), status.st_size, status.st_mtime_ns))
    settings = {key: value for key, value in asdict(config).items() if key != "cache"}
    key = json.dumps([str(root.absolute()), settings, listing], default=str)
    file = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.identity.json"
    try:
        return Identity(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        pass
    copies_are_no_matter = corpus.is_one_text(config) or corpus.has_near_copies(config)
    identity = Identity(corpus.fingerprint(config), not copies_are_no_matter)
    if newest < begin - SETTLED_SECONDS:
        write_text(file, json.dumps(identity._asdict()))
    return identity
