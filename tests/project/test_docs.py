"""The pages of docs/ and the README against the code, and their links."""

import dataclasses
import importlib.util
import re
from pathlib import Path
from typing import get_type_hints

import pytest
import torch

from posext.config import TrainConfig
from posext.pe import Shape

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="session")
def make_docs():
    """The module scripts/make_docs.py."""
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headings(page):
    """The anchors of a page's headings."""
    lines = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-") for line in lines}


def test_make_docs_pages_are_up_to_date(make_docs):
    for file, text in make_docs.pages().items():
        assert file.read_text() == text, f"{file.name} is stale: python scripts/make_docs.py"


@pytest.mark.parametrize("name", ["fixed_target", "far_copy", "sliding"])
def test_make_docs_draws_the_same_targets_at_both_lengths(make_docs, name):
    drawn = make_docs.AS_DRAWN.get(name, make_docs.Drawn())
    settings = make_docs.ProtocolSettings(drawn.lengths[0], drawn.size, drawn.blocks)
    documents = make_docs.Toy(drawn.tokens)
    plan = make_docs.PROTOCOLS[name](documents, drawn.lengths, settings)
    short, long = (
        {
            place
            for window in windows
            for place, mark in enumerate(make_docs.drawn_window(window, plan, drawn.unit))
            if mark in "#+"
        }
        for windows in plan.windows.values()
    )
    assert short == long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_links_to_existing_files_and_headings(page):
    for address in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", address):
            continue
        file, _, anchor = address.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {address}"
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), f"{page.name} links to {address}"


def test_mkdocs_navigation_has_every_page():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in navigation, page.name


def test_make_docs_finds_the_meaning_of_every_setting(make_docs):
    settings_by_class = make_docs.settings()
    of_training = {setting.name for setting in settings_by_class["TrainConfig"]}
    for name, settings in settings_by_class.items():
        for setting in settings:
            shared = name == "EvaluateConfig" and setting.name in of_training
            assert setting.meaning or setting.section or shared, (name, setting.name)


@pytest.mark.parametrize(
    "section", ["model", "data", "optimizer", "init", "evaluation", "tracking"]
)
def test_make_docs_writes_every_setting_of_a_section(section):
    page = (ROOT / "docs" / "configuration.md").read_text()
    of_section = get_type_hints(TrainConfig)[section]
    for field in dataclasses.fields(of_section):
        if field.name not in ("source", "kind") or section == "model":
            assert f"| `{section}.{field.name}` |" in page


def test_readme_scheme_equals_that_of_the_example(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "own_scheme")
    from square_root import SquareRoot

    names = {}
    exec(re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1], names)
    shape = Shape(head_dim=8, n_heads=4, d_model=32, original_length=16)
    of_readme = names["SquareRoot"](shape, strength=3.0)
    of_example = SquareRoot(shape, strength=3.0)
    assert of_readme.family == of_example.family
    positions = torch.arange(20)
    expected = of_example.bias(positions).values_HL
    assert torch.equal(of_readme.bias(positions).values_HL, expected)
