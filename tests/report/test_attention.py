"""The page's section and the chart of attention."""

import re

import pandas as pd
import pytest
from helpers.pages import charts, rows_of

from posext.analysis.attention import COLUMNS, write_attention
from posext.report import page
from posext.report.attention_metrics import METRICS
from posext.report.attention_plot import draw_attention

LENGTHS = (64, 128)


def looks_of(run: str, extend: str = "", shift: float = 0.0) -> pd.DataFrame:
    """Rows of two layers of three heads: a number is length + 10 layer + head, over 1000."""
    rows = []
    for length in LENGTHS:
        for layer in range(2):
            for place in range(3):
                value = (length + 10 * layer + place) / 1000 + shift
                of_head = {"context_length": length, "layer": layer, "value": value}
                rows += [
                    {**of_head, "metric": metric, "head": place}
                    for metric in ("entropy_share", "distance", "largest_logit", "row_sum")
                ]
                rows.append({**of_head, "metric": "query_norm", "pair": place})
            rows.append({"context_length": length, "metric": "hidden_cosine", "layer": layer})
            rows[-1]["value"] = 0.5
        rows.append({"context_length": length, "metric": "sink_rate", "value": 0.25})
    table = pd.DataFrame(rows).assign(run=run, extend=extend, factor="", documents=8)
    table.loc[table.metric == "row_sum", "value"] = 1
    return table.assign(low=table.value - 0.001, high=table.value + 0.001).reindex(columns=COLUMNS)


@pytest.fixture
def text(tmp_path):
    """The text of a page of a run with an extension, and of its seed."""
    nll = [3.0, 2.5, 2.6, 2.7]
    runs = [rows_of("rope", nll), rows_of("rope", nll, extend="yarn")]
    runs.append(rows_of("rope", nll, run="second", seed=1))
    pd.concat(runs).to_csv("curves.csv", index=False)
    looks = [looks_of("rope-run"), looks_of("rope-run", "yarn"), looks_of("second", shift=0.1)]
    looks.append(looks_of("a run that is not on the page"))
    write_attention(pd.concat(looks), tmp_path / "attention.csv")
    return page.write_page([tmp_path], tmp_path / "report.html").read_text()


def test_page_has_heat_maps_of_layers_by_heads_at_each_length(text):
    shown = [chart for chart in charts(text) if chart["id"].startswith("attention-heat")]
    assert [chart["title"] for chart in shown] == ["rope-run", "rope-run → yarn", "second"]
    views = {view["name"]: view["traces"][0] for view in shown[0]["views"]}
    assert list(views) == [
        "Entropy",
        "Distance",
        "Largest logit",
        "Query pairs",
        "Hidden direction",
    ]
    assert views["Entropy"]["x"] == [["64"] * 3 + ["128"] * 3, ["0", "1", "2"] * 2]
    assert views["Entropy"]["y"] == ["0", "1"]
    assert views["Entropy"]["z"] == [
        [0.064, 0.065, 0.066, 0.128, 0.129, 0.13],
        [0.074, 0.075, 0.076, 0.138, 0.139, 0.14],
    ]
    assert views["Entropy"]["text"][0][0] == "<b>0.064</b> [0.063, 0.065]"
    assert views["Hidden direction"]["x"] == ["64", "128"]


def test_page_has_lines_over_heads_and_seeds(text):
    (chart,) = [chart for chart in charts(text) if chart["id"] == "attention"]
    by_name = {view["name"]: view["traces"] for view in chart["views"]}
    assert "Query pairs" not in by_name
    lines = {
        name: {trace["name"]: trace for trace in traces if trace["uid"].startswith("line")}
        for name, traces in by_name.items()
    }
    assert list(lines["Entropy"]) == ["rope (2 seeds)", "rope → yarn"]
    seeds = lines["Entropy"]["rope (2 seeds)"]
    assert seeds["x"] == list(LENGTHS)
    assert seeds["y"] == pytest.approx([0.064 + 0.006 + 0.05, 0.128 + 0.006 + 0.05])
    assert seeds["low"] == pytest.approx([0.07, 0.134])
    # of logits the largest of any head
    assert lines["Largest logit"]["rope → yarn"]["y"] == pytest.approx([0.076, 0.14])
    assert lines["Sink rate"]["rope → yarn"]["y"] == [0.25, 0.25]


def test_page_explains_what_it_shows_and_nothing_else(text):
    assert "an even look at all of them" in text
    assert "Barbero et al. 2024" in text
    assert "Sum of weights" not in text, "it is 1 everywhere"
    assert "Hidden norm" not in text, "it was not measured"


@pytest.mark.parametrize("metric", [m for m in METRICS if m.about], ids=lambda m: m.name)
def test_metrics_are_explained_in_two_sentences(metric):
    sentences = re.sub(r"et al\. ", "", metric.about)
    assert len(re.findall(r"[.](?= [A-Z]|$)", sentences)) == 2


def test_page_without_attention_has_no_section(tmp_path):
    rows_of("rope", [3.0, 2.5, 2.6, 2.7]).to_csv("curves.csv", index=False)
    page.write_page([tmp_path], tmp_path / "report.html")
    assert "<h2>Attention</h2>" not in (tmp_path / "report.html").read_text()


def test_draw_attention_writes_a_block_for_each_curve(tmp_path):
    from PIL import Image

    one, two = looks_of("r"), pd.concat([looks_of("r"), looks_of("r", "yarn")])
    heights = []
    for rows in (one, two):
        draw_attention(rows, tmp_path / "a.png", "a title", 64)
        with Image.open(tmp_path / "a.png") as image:
            heights.append(image.height)
    assert heights[1] > 1.8 * heights[0]
