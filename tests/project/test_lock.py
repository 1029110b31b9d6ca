"""requirements.lock pins everything that pyproject.toml asks for, and every pin by the hashes of its files."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [
    *PROJECT["dependencies"],
    *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
]
ENTRIES = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())
PINNED = [Requirement(entry.partition(" \\")[0]) for entry in ENTRIES]


@pytest.mark.parametrize("asked", [text for text in ASKED if not text.startswith("posext")])
def test_what_is_asked_for_is_pinned(asked):
    wanted = Requirement(asked)
    versions = [str(pin.specifier).removeprefix("==") for pin in PINNED if pin.name == wanted.name]
    assert versions, f"{asked} is not in requirements.lock: make lock"
    assert all(wanted.specifier.contains(version) for version in versions), versions


def test_every_pin_is_one_version_and_has_hashes():
    for entry, pin in zip(ENTRIES, PINNED, strict=True):
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
