"""The page's section, the chart and the table of far text."""

import pytest
from helpers.pages import charts
from helpers.perturbed import BOOTSTRAP, KEPT, bag, copier, of_few_symbols, periodic, rises_of

from posext.analysis.effective_context import rise_table
from posext.report import page
from posext.report.perturbed_plot import draw_rises


@pytest.fixture
def text(tmp_path):
    """The text of the page of a model that copies from 8 tokens back."""
    rises_of(tmp_path, copier(8), periodic(8))
    return page.write_page([tmp_path], tmp_path / "report.html").read_text()


def test_page_has_a_chart_for_each_change(text):
    shown = {chart["title"]: chart for chart in charts(text)}
    assert list(shown) == ["shuffled", "replaced", "dropped"]
    for chart in shown.values():
        rise, perplexity = chart["views"][:2]
        assert (rise["name"], perplexity["name"]) == ("Rise of the loss", "Perplexity")
        (line,) = [trace for trace in rise["traces"] if trace["uid"].startswith("line")]
        assert line["x"] == KEPT
        assert line["y"][3:] == pytest.approx([0] * 3, abs=1e-6)
        assert min(line["y"][:3]) > 1


def test_page_names_effective_contexts(text):
    assert text.count("<td>8 (8 to 8)</td>") == 3
    assert "the rise of the loss is what that text was worth" in text


def test_rise_table_names_a_context_beyond_all_distances(tmp_path):
    rises = list(rises_of(tmp_path, copier(60), periodic(60)).values())
    last = rise_table(rises, 0.01, BOOTSTRAP).splitlines()[-1].split("  ")
    assert last[-1] == "over 32 (over 32 to over 32)"


def test_chart_of_rises_is_written(tmp_path):
    rises = list(rises_of(tmp_path, bag, of_few_symbols()).values())
    draw_rises(rises, tmp_path / "rises.png", 0.01, BOOTSTRAP, "a title")
    assert (tmp_path / "rises.png").stat().st_size > 1000
