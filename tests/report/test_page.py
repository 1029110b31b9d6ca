"""The page about a run or several: its numbers are those on disk, it needs no network, and nothing in it is code of others."""

import html
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers.pages import HOSTILE, LENGTHS, rows_of, written

from posext.analysis import curves
from posext.report import curve_plot, page
from posext.report.cost import growth


def charts(text: str) -> list[dict]:
    found = re.search(
        r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL
    )
    assert found
    return json.loads(found[1])


def drawn(text: str, view: str, chart: int = 0) -> dict[str, dict]:
    (found,) = [one for one in charts(text)[chart]["views"] if one["name"] == view]
    return {trace["name"]: trace for trace in found["traces"] if trace["uid"].startswith("line")}


def test_a_run_writes_a_page_with_the_numbers_of_its_curves(command, small):
    code, _, err = command("train", "+pe=rope", *small, "name=mine")
    assert code == 0, err
    text = Path("results/runs/mine/report.html").read_text()
    rows = curves.read_curves("results/runs/mine/curves.csv")
    for view, low, value, high in [
        ("Perplexity", np.exp(rows.nll_low), rows.perplexity, np.exp(rows.nll_high)),
        (
            "Bits per byte",
            rows.nll_low / math.log(2),
            rows.bits_per_byte,
            rows.nll_high / math.log(2),
        ),  # bytes
    ]:
        trace = drawn(text, view)["rope"]
        assert trace["x"] == rows.context_length.tolist()
        for key, expected in {"low": low, "y": value, "high": high}.items():
            np.testing.assert_allclose(trace[key], expected)
    longer = rows.loc[rows.context_length >= 16]
    np.testing.assert_allclose(
        drawn(text, "Difference to crop")["rope"]["y"], longer.nll - longer.nll.iloc[0], atol=1e-12
    )
    for perplexity in rows.perplexity:
        assert f"<td>{perplexity:.2f}<small>" in text
    assert "python -m posext.train +pe=rope" in html.unescape(text)
    assert re.search(r'class="(uses|survives|fails)"', text)


def test_the_command_line_compares_runs(tmp_path):
    for scheme in ("rope", "alibi"):
        (tmp_path / scheme).mkdir()
        rows_of(scheme, [3.0, 2.5, 2.6, 2.7]).to_csv(tmp_path / scheme / "curves.csv", index=False)
    command = [sys.executable, "-m", "posext", "report", "rope", "alibi"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "report.html"
    text = (tmp_path / "report.html").read_text()
    assert "2 runs compared" in text
    assert drawn(text, "Perplexity").keys() == {"rope", "alibi"}
    refused = subprocess.run([*command[:4], "absent"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr == "posext: absent is neither the folder of a run nor a file of curves\n"
    assert "Traceback" not in refused.stderr


def test_the_page_loads_nothing():
    text = written(rows_of("rope", [3.0, 2.5, 2.6, 2.7]))
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", text)
    assert not re.search(r"@import|url\(", text)
    assert len(text) < 3_000_000


@pytest.mark.parametrize(
    "field", ["run", "scheme", "extend", "model", "study", "commit", "protocol", "group"]
)
def test_a_hostile_name_stays_text(field):
    ours = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    theirs = rows_of("alibi", [3.0, 2.5, 2.6, 2.7]).assign(**{field: HOSTILE})
    plain, text = written(ours), written(ours, theirs)
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


def test_an_undefined_length_is_a_gap():
    text = written(rows_of("learned", [3.0, 2.5, math.nan, math.nan]))
    assert drawn(text, "Perplexity")["learned"]["y"] == [
        pytest.approx(math.exp(3)),
        pytest.approx(math.exp(2.5)),
        None,
        None,
    ]
    assert text.count("<td>undefined") == 2


def test_one_document_has_no_interval_on_the_page():
    text = written(
        rows_of("rope", [3.0, 2.5, 2.6, 2.7], nll_low=math.nan, nll_high=math.nan, documents=1)
    )
    (view,) = [one for one in charts(text)[0]["views"] if one["name"] == "Perplexity"]
    traces = {trace["uid"]: trace for trace in view["traces"]}
    assert traces["band0"]["x"] == []
    assert traces["line0"]["text"][0] == f"<b>{math.exp(3):.4g}</b> no interval"
    assert text.count("<small>no interval</small>") == 4
    assert "nan" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL).replace(
        "finance", ""
    )


@pytest.mark.parametrize(("half", "drawn"), [(0.1, True), (math.nan, False)])
def test_the_chart_has_a_band_where_there_is_an_interval(half, drawn):
    rows = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    rows = rows.assign(nll_low=rows.nll - half, nll_high=rows.nll + half)
    axes = plt.figure().subplots()
    curve_plot.plot_curve(axes, rows, "C0", "-")
    assert (
        any(len(path.vertices) for band in axes.collections for path in band.get_paths()) == drawn
    )
    plt.close()


def test_a_run_with_one_held_out_document_says_that_it_has_no_interval(command, small):
    kept = [typed for typed in small if not typed.startswith("evaluation.documents")]
    code, out, err = command("train", "+pe=rope", *kept, "evaluation.documents=1", "name=mine")
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
def test_fewer_than_ten_documents_are_warned_of_with_what_helps(caplog, documents, warns):
    curves.warn_if_few(pd.DataFrame({"documents": documents}))
    assert ("intervals over 9 held-out documents are rough" in caplog.text) == warns
    assert ("data.validation_share" in caplog.text) == warns


def test_seeds_are_one_line_with_their_range():
    seeds = [
        rows_of("rope", [3 + s, 2.5 + s, 2.6 + s, 2.7 + s], run=f"r{s}", seed=s) for s in (0, 1)
    ]
    trace = drawn(written(*seeds), "Perplexity")["rope (2 seeds)"]
    np.testing.assert_allclose(np.log(trace["low"]), [3.0, 2.5, 2.6, 2.7])
    np.testing.assert_allclose(np.log(trace["y"]), [3.5, 3.0, 3.1, 3.2])
    np.testing.assert_allclose(np.log(trace["high"]), [4.0, 3.5, 3.6, 3.7])


def test_the_answer_stands_first_in_words():
    text = html.unescape(
        written(rows_of("rope", [3.0, 2.5, 2.6, 2.7]), rows_of("alibi", [3.0, 2.55, 2.54, 2.55]))
    )
    (answer,) = re.findall(r'<p class="answer">(.*?)</p>', text, re.DOTALL)
    assert "Usable furthest, to 512 tokens, the longest measured: “alibi”." in answer
    assert f"Lowest perplexity at 512 tokens: {math.exp(2.55):.2f}" in answer


@pytest.mark.parametrize("column", [{"tokens": 96}, {"targets": "bbbb"}])
def test_write_refuses_a_page_of_runs_on_different_targets(column):
    one = rows_of("rope", [3.0, 2.5, 2.6, 2.7], targets="aaaa" if "targets" in column else "")
    other = rows_of("alibi", [3.0, 2.5, 2.5, 2.5], **column)
    says = "of (rope|alibi)-run and .* of (rope|alibi)-run are measured on different targets under fixed_target"
    with pytest.raises(ValueError, match=says):
        written(one, other)


def test_write_of_one_run_keeps_the_curves_on_its_last_targets_and_names_the_others():
    before = rows_of("rope", [3.0, 2.5, 2.6, 2.7], targets="aaaa")
    last = rows_of("rope", [3.1, 2.6, 2.5, 2.5], extend="yarn", targets="bbbb")
    text = html.unescape(written(before, last))
    assert drawn(text, "Perplexity").keys() == {"rope → yarn"}
    assert (
        "Left out, as measured on other targets than the last of the run: rope; to have all, measure again"
        in text
    )


def test_the_answer_of_one_seed_names_what_is_within_seed_noise_as_tied():
    runs = [
        rows_of(name, [3.0, 2.5, 2.6, end], model="nano")
        for name, end in (("rope", 3.0), ("fox", 2.9), ("t5", 4.0))
    ]
    (answer,) = re.findall(r'<p class="answer">(.*?)</p>', html.unescape(written(*runs)), re.DOTALL)
    assert "“fox”; within seed noise of it, so no higher as far as this tells: “rope”." in answer
    assert (
        "One seed: at this size (nano), training again with another seed moves the loss by 0.0"
        in answer
    )
    assert "say nothing of the schemes" in answer


def test_the_answer_of_several_seeds_goes_by_their_paired_interval_and_the_page_has_it():
    ends = {"rope": (3.0, 3.4, 3.2), "fox": (2.5, 2.9, 2.7), "t5": (2.6, 2.8, 2.75)}
    runs = [
        rows_of(name, [3.0, 2.5, 2.6, end], run=f"{name}{seed}", seed=seed, model="nano")
        for name, of_seeds in ends.items()
        for seed, end in enumerate(of_seeds)
    ]
    text = html.unescape(written(*runs))
    (answer,) = re.findall(r'<p class="answer">(.*?)</p>', text, re.DOTALL)
    assert "(mean of 3 seeds, 12.2 to 18.2), “fox”; within seed noise of it" in answer
    assert "“t5”." in answer
    assert "One seed:" not in answer
    assert (
        "<td>+0.700 ± 0.200<small>+0.203 to +1.197</small></td>" in text
    )  # rope at 512, over its crop baseline


def test_the_answer_calls_usable_only_what_all_seeds_reach():
    runs = [
        rows_of("rope", [3.0, 2.5, 2.5, end], run=f"r{s}", seed=s)
        for s, end in enumerate((2.5, 2.6))
    ]
    text = html.unescape(written(*runs))
    assert "Usable furthest, to 256 tokens: “rope”." in text


def test_every_protocol_has_its_chart_and_positions_are_lengths():
    ours = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    text = written(ours, rows_of("rope", [3.1, 2.7, 2.8, 2.9], protocol="per_position"))
    (found,) = [chart for chart in charts(text) if chart["id"].startswith("per_position")]
    assert found["x"]["ticks"] == list(LENGTHS)
    own = [trace for trace in found["views"][0]["traces"] if trace["uid"] == "line0"]
    np.testing.assert_allclose(own[0]["y"], np.exp([3.1, 2.7, 2.8, 2.9]))


def test_retrieval_is_a_heat_map(tmp_path):
    rows_of("rope", [3.0, 2.5, 2.6, 2.7]).to_csv("curves.csv", index=False)
    cells = [(n, d, c) for n in (64, 128) for d in (0.0, 0.5) for c in ("needle", "control")]
    table = pd.DataFrame(cells, columns=["context_length", "depth", "condition"])
    right = [{"needle": 3 + i, "control": 1}[c] for i, (_, _, c) in enumerate(cells)]
    table = table.assign(
        task="retrieval", extend="", factor="", distance=10, trials=20, correct=right, nll=1.0
    )
    share = table.correct / table.trials
    table.assign(accuracy=share, accuracy_low=share - 0.05, accuracy_high=share + 0.05).to_csv(
        "retrieval.csv", index=False
    )
    text = page.write_page([tmp_path], tmp_path / "report.html").read_text()
    (found,) = [chart for chart in charts(text) if chart["heat"]]
    grids = {view["name"]: view["traces"][0]["z"] for view in found["views"]}
    assert grids == {
        "Needle": [[0.15, 0.35], [0.25, 0.45]],
        "Control": [[0.05, 0.05], [0.05, 0.05]],
    }  # depth by length


def test_of_many_curves_the_lowest_are_drawn_first():
    tables = [rows_of(f"s{i:02}", [3.0, 2.5, 2.5, 2.5 + i / 100]) for i in range(20)]
    shown = {
        n: t
        for n, t in drawn(written(*reversed(tables)), "Perplexity").items()
        if "visible" not in t
    }
    assert sorted(shown) == [f"s{i:02}" for i in range(8)]
    assert len({trace["line"]["color"] for trace in shown.values()}) == 8


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_power_law_has_its_exponent(power):
    lengths = [2.0**k for k in range(6, 13)]
    assert growth(lengths, [3 * n**power for n in lengths]) == pytest.approx((power, 1.0))


def test_growth_is_that_of_long_contexts_and_says_how_far_off_it_is():
    lengths = [2.0**k for k in range(4, 14)]
    exponent, off = growth(
        lengths, [1e6 + n**2 for n in lengths]
    )  # a constant cost, outgrown in the end
    assert 0.5 < exponent < 2
    assert off > 1.3
    assert math.isnan(growth([64, 128, 256], [math.nan, 0.0, 3.0]).exponent)


def test_importing_the_entry_points_leaves_plotly_alone():
    code = "import sys, posext.train, posext.evaluate; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
