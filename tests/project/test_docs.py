"""The pages of docs/ say what the code says, and no link in them is dead."""

import re
from pathlib import Path

import pytest
import torch

from posext.pe import Shape

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def headings(page):
    """The anchors that a page's headings have."""
    lines = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-") for line in lines}


def test_the_pages_that_are_made_from_the_code_are_as_the_code_is(make_docs):
    for file, text in make_docs.pages().items():
        assert file.read_text() == text, f"{file.name} is stale: python scripts/make_docs.py"


def test_a_drawing_scores_the_same_places_at_both_lengths_where_a_protocol_compares(make_docs):
    for name in ("fixed_target", "far_copy", "sliding"):
        drawn = make_docs.AS_DRAWN.get(name, make_docs.Drawn())
        told = make_docs.ProtocolSettings(drawn.lengths[0], drawn.size, drawn.blocks)
        documents = make_docs.Toy(drawn.tokens)
        plan = make_docs.PROTOCOLS[name](documents, drawn.lengths, told)
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
def test_every_relative_link_leads_somewhere(page):
    for address in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", address):
            continue
        file, _, anchor = address.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {address}"
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), f"{page.name} links to {address}"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in navigation, page.name


def test_the_meaning_of_every_setting_is_written(make_docs):
    known = make_docs.settings()
    of_training = {setting.name for setting in known["TrainConfig"]}
    for name, settings in known.items():
        for setting in settings:
            shared = name == "EvaluateConfig" and setting.name in of_training
            assert setting.meaning or setting.type in known or shared, (name, setting.name)


@pytest.fixture(scope="session")
def make_docs():
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_scheme_in_the_readme_is_the_one_of_the_example(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "own_scheme")
    from square_root import SquareRoot

    made = {}
    exec(re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1], made)
    shape = Shape(head_dim=8, n_heads=4, d_model=32, original_length=16)
    one, other = (scheme(shape, strength=3.0) for scheme in (made["SquareRoot"], SquareRoot))
    assert one.family == other.family
    positions = torch.arange(20)
    assert torch.equal(one.bias(positions).values_HL, other.bias(positions).values_HL)
