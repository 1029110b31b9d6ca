"""The commit of the running code."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def commit() -> str:
    """Return the commit of the running code, with -dirty if it is changed.

    Empty outside a checkout; an installed package may lie inside the checkout of another project.
    """
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
