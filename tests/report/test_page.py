"""The page about runs.

Its numbers are those on disk, it needs no network, and it contains no foreign code.
"""

import html
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.pages import HOSTILE, LENGTHS, charts, lines_of, rows_of, written_page

from posext.analysis import curves


def test_train_writes_a_page_with_the_numbers_of_its_curves(command, small):
    code, _, err = command("train", "+pe=rope", *small, "name=mine")
    assert code == 0, err
    text = Path("results/runs/mine/report.html").read_text()
    rows = curves.read_curves("results/runs/mine/curves.csv")
    bits_low = rows.nll_low / math.log(2)  # a token is a byte
    bits_high = rows.nll_high / math.log(2)
    for view, low, value, high in [
        ("Perplexity", np.exp(rows.nll_low), rows.perplexity, np.exp(rows.nll_high)),
        ("Bits per byte", bits_low, rows.bits_per_byte, bits_high),
    ]:
        trace = lines_of(text, view)["rope"]
        assert trace["x"] == rows.context_length.tolist()
        for key, expected in {"low": low, "y": value, "high": high}.items():
            np.testing.assert_allclose(trace[key], expected)
    longer = rows.loc[rows.context_length >= 16]
    differences = lines_of(text, "Difference to crop")["rope"]["y"]
    np.testing.assert_allclose(differences, longer.nll - longer.nll.iloc[0], atol=1e-12)
    for perplexity in rows.perplexity:
        assert f"<td>{perplexity:.2f}<small>" in text
    assert "python -m posext.train +pe=rope" in html.unescape(text)
    assert re.search(r'class="(uses|survives|fails)"', text)


def test_report_command_compares_runs(tmp_path):
    for scheme in ("rope", "alibi"):
        (tmp_path / scheme).mkdir()
        rows_of(scheme, [3.0, 2.5, 2.6, 2.7]).to_csv(tmp_path / scheme / "curves.csv", index=False)
    command = [sys.executable, "-m", "posext", "report", "rope", "alibi"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "report.html"
    text = (tmp_path / "report.html").read_text()
    assert "2 runs compared" in text
    assert lines_of(text, "Perplexity").keys() == {"rope", "alibi"}


def test_report_command_refuses_what_is_no_run(tmp_path):
    command = [sys.executable, "-m", "posext", "report", "absent"]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr == "posext: absent is neither the folder of a run nor a file of curves\n"
    assert "Traceback" not in refused.stderr


def test_page_loads_nothing():
    text = written_page(rows_of("rope", [3.0, 2.5, 2.6, 2.7]))
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", text)
    assert not re.search(r"@import|url\(", text)
    assert len(text) < 3_000_000


@pytest.mark.parametrize(
    "field", ["run", "scheme", "extend", "model", "study", "commit", "protocol", "group"]
)
def test_page_keeps_a_hostile_name_as_text(field):
    ours = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    theirs = rows_of("alibi", [3.0, 2.5, 2.6, 2.7]).assign(**{field: HOSTILE})
    plain, text = written_page(ours), written_page(ours, theirs)
    assert HOSTILE not in text
    assert "<img" not in text
    assert text.count("<script") == plain.count("<script") == text.count("</script>")
    names = [
        trace["name"]
        for chart in charts(text)
        for view in chart["views"]
        for trace in view["traces"]
    ]
    assert not [name for name in names if "<" in name]  # plotly reads tags in names


def test_page_shows_an_undefined_length_as_a_gap():
    text = written_page(rows_of("learned", [3.0, 2.5, math.nan, math.nan]))
    *defined, third, fourth = lines_of(text, "Perplexity")["learned"]["y"]
    assert defined == pytest.approx([math.exp(3), math.exp(2.5)])
    assert third is None
    assert fourth is None
    assert text.count("<td>undefined") == 2


def test_page_of_one_document_has_no_interval():
    text = written_page(
        rows_of("rope", [3.0, 2.5, 2.6, 2.7], nll_low=math.nan, nll_high=math.nan, documents=1)
    )
    (view,) = [each for each in charts(text)[0]["views"] if each["name"] == "Perplexity"]
    traces = {trace["uid"]: trace for trace in view["traces"]}
    assert traces["band0"]["x"] == []
    assert traces["line0"]["text"][0] == f"<b>{math.exp(3):.4g}</b> no interval"
    assert text.count("<small>no interval</small>") == 4
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "nan" not in without_scripts.replace("finance", "")


def test_train_with_one_held_out_document_has_no_interval(command, small):
    """Its output and its page say so, and claim nothing about the use of context."""
    settings = [setting for setting in small if not setting.startswith("evaluation.documents")]
    settings += ["evaluation.documents=1", "name=mine"]
    code, out, err = command("train", "+pe=rope", *settings)
    assert code == 0, err
    rows = curves.read_curves("results/runs/mine/curves.csv")
    assert rows[["nll_low", "nll_high"]].isna().to_numpy().all()
    assert "±" not in out
    assert "(no interval)" in out
    assert "without an interval" in out
    assert err.count("one held-out document gives no interval") == 1
    text = html.unescape(Path("results/runs/mine/report.html").read_text())
    assert "whether any length uses its context is not said" in text
    assert 'class="no interval" title="' in text
    assert "[nan" not in text
    assert not re.search(r'class="(uses|survives|fails)"', text)


@pytest.mark.parametrize(
    ("documents", "warns"), [([9, 30], True), ([10, 30], False), ([math.nan, 30], False)]
)
def test_warn_if_few_names_a_remedy_below_ten_documents(caplog, documents, warns):
    curves.warn_if_few(pd.DataFrame({"documents": documents}))
    assert ("intervals over 9 held-out documents are rough" in caplog.text) == warns
    assert ("data.validation_share" in caplog.text) == warns


def test_page_draws_seeds_as_one_line_with_their_range():
    seeds = [
        rows_of("rope", [3 + seed, 2.5 + seed, 2.6 + seed, 2.7 + seed], run=f"r{seed}", seed=seed)
        for seed in (0, 1)
    ]
    trace = lines_of(written_page(*seeds), "Perplexity")["rope (2 seeds)"]
    np.testing.assert_allclose(np.log(trace["low"]), [3.0, 2.5, 2.6, 2.7])
    np.testing.assert_allclose(np.log(trace["y"]), [3.5, 3.0, 3.1, 3.2])
    np.testing.assert_allclose(np.log(trace["high"]), [4.0, 3.5, 3.6, 3.7])


@pytest.mark.parametrize("column", [{"tokens": 96}, {"targets": "bbbb"}])
def test_write_page_refuses_runs_on_different_targets(column):
    one = rows_of("rope", [3.0, 2.5, 2.6, 2.7], targets="aaaa" if "targets" in column else "")
    other = rows_of("alibi", [3.0, 2.5, 2.5, 2.5], **column)
    message = (
        "of (rope|alibi)-run and .* of (rope|alibi)-run are measured on different targets "
        "under fixed_target"
    )
    with pytest.raises(ValueError, match=message):
        written_page(one, other)


def test_write_page_of_one_run_keeps_its_last_targets():
    """It names the curves that it leaves out."""
    before = rows_of("rope", [3.0, 2.5, 2.6, 2.7], targets="aaaa")
    last = rows_of("rope", [3.1, 2.6, 2.5, 2.5], extend="yarn", targets="bbbb")
    text = html.unescape(written_page(before, last))
    assert lines_of(text, "Perplexity").keys() == {"rope → yarn"}
    left_out = (
        "Left out, as measured on other targets than the last of the run: rope; "
        "to have all, measure again"
    )
    assert left_out in text


def test_page_draws_positions_as_lengths_in_their_own_chart():
    ours = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    text = written_page(ours, rows_of("rope", [3.1, 2.7, 2.8, 2.9], protocol="per_position"))
    (chart,) = [each for each in charts(text) if each["id"].startswith("per_position")]
    assert chart["x"]["ticks"] == list(LENGTHS)
    (line,) = [trace for trace in chart["views"][0]["traces"] if trace["uid"] == "line0"]
    np.testing.assert_allclose(line["y"], np.exp([3.1, 2.7, 2.8, 2.9]))


def test_page_shows_the_lowest_of_many_curves_first():
    """The others are there to switch on."""
    tables = [rows_of(f"s{i:02}", [3.0, 2.5, 2.5, 2.5 + i / 100]) for i in range(20)]
    lines = lines_of(written_page(*reversed(tables)), "Perplexity")
    shown = {name: trace for name, trace in lines.items() if "visible" not in trace}
    assert sorted(shown) == [f"s{i:02}" for i in range(8)]
    assert len({trace["line"]["color"] for trace in shown.values()}) == 8


def test_import_of_train_and_evaluate_loads_no_plotly():
    code = "import sys, posext.train, posext.evaluate; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_page_leaves_out_key_tokens_of_several_judges():
    losses = [3.0, 2.5, 2.6, 2.7]
    keys = {"protocol": "key_tokens", "group": "key"}
    tables = [rows_of(scheme, losses) for scheme in ("rope", "alibi")]
    of_one = [rows_of(scheme, losses, targets="a", **keys) for scheme in ("rope", "alibi")]
    assert "<h2>Key tokens</h2>" in written_page(*tables, *of_one)
    text = written_page(*tables, *of_one[:1], rows_of("alibi", losses, targets="b", **keys))
    assert "<h2>Key tokens</h2>" not in text
    assert "Key tokens are left out: " in text
    assert "the same judge evaluation.key_judge=RUN above all" in text
