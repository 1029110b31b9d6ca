"""requirements.lock against pyproject.toml: versions and hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
]
ENTRIES = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())
PINNED = [Requirement(entry.partition(" \\")[0]) for entry in ENTRIES]


@pytest.mark.parametrize("text", [text for text in REQUIREMENTS if not text.startswith("posext")])
def test_lock_pins_every_requirement(text):
    wanted = Requirement(text)
    versions = [str(pin.specifier).removeprefix("==") for pin in PINNED if pin.name == wanted.name]
    assert versions, f"{text} is not in requirements.lock: make lock"
    assert all(wanted.specifier.contains(version) for version in versions), versions


def test_lock_pins_are_single_versions_with_hashes():
    for entry, pin in zip(ENTRIES, PINNED, strict=True):
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
