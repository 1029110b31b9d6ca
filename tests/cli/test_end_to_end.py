"""From the command line to files: runs, extensions of their weights, sweeps, wandb's records."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import wandb_records

from posext.analysis import curves
from posext.data import dataset
from posext.eval import curve
from posext.eval.protocols import PROTOCOLS

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
MINE = Path("results/runs/mine")
EVALUATE_MINE = ["evaluate", f"run={MINE}", "tracking.wandb=disabled"]


def rows_of(run: str | Path) -> pd.DataFrame:
    return curves.read_curves(Path(run) / "curves.csv")


def run_script(name: str, *arguments: str | Path) -> str:
    """Run a script, which must succeed, and return its stdout."""
    command = [sys.executable, SCRIPTS / name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_train_writes_the_files_of_a_run(command, small):
    code, out, err = command("train", "+pe=yarn", *small)
    assert code == 0, err
    (folder,) = Path("results/runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "commands.jsonl",
        "config.yaml",
        "curve.png",
        "curves.csv",
        "documents.parquet",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "run.json",
        "run.lock",
        "tokenizer.json",
    }
    assert folder.name.startswith("yarn-nano-16-seed0")

    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    columns = "step tokens length loss learning_rate grad_norm tokens_per_second"
    assert list(first) == columns.split()
    assert (first["step"], first["tokens"], first["length"]) == (1, 256, 16)

    rows = rows_of(folder)
    assert list(rows.columns) == curves.COLUMNS
    assert sorted(set(zip(rows.extend, rows.factor, strict=True))) == [
        ("", "auto"),
        ("rope", ""),
        ("yarn", "16"),
    ]
    for _, of_factor in rows.groupby("factor"):
        assert of_factor.context_length.tolist() == [8, 16, 32, 64, 128, 256]
    assert (rows.nll_low <= rows.nll).all()
    assert (rows.nll <= rows.nll_high).all()
    np.testing.assert_allclose(np.exp(rows.nll), rows.perplexity)
    # A token of the byte tokenizer is a byte.
    np.testing.assert_allclose(rows.bits_per_byte, rows.nll / np.log(2))
    assert rows.tokens.nunique() == rows.documents.nunique() == 1
    assert (rows.seconds > 0).all()
    assert "usable to" in out
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_train_loads_and_plans_the_corpus_once(command, small, monkeypatch):
    """Training and the measurement after it share the corpus and its plan."""
    loads, plans = [], []
    load_data = dataset.load_data
    make_plan = curve.make_plan
    monkeypatch.setattr(dataset, "load_data", lambda *a: loads.append(1) or load_data(*a))
    monkeypatch.setattr(curve, "make_plan", lambda *a: plans.append(1) or make_plan(*a))
    code, _, err = command("train", "+pe=rope", *small, "name=mine")
    assert code == 0, err
    assert len(rows_of(MINE))
    assert (len(loads), len(plans)) == (1, 1)


def test_train_stores_the_sums_that_make_its_curve(command, small):
    command("train", "+pe=rope", *small, "name=mine")
    sums = pd.read_parquet(MINE / "documents.parquet")
    total = sums.groupby("context_length")[["nll", "tokens"]].sum()
    np.testing.assert_allclose(total.nll / total.tokens, rows_of(MINE).nll)


def test_evaluate_again_gives_the_same_numbers(command, small):
    command("train", "+pe=alibi", *small, "name=mine")
    before = rows_of(MINE)
    code, _, err = command(*EVALUATE_MINE, "evaluation.tokens_per_batch=512")
    assert code == 0, err
    after = rows_of(MINE)
    np.testing.assert_allclose(after.nll, before.nll, rtol=1e-5)
    assert len(after) == len(before)


def test_evaluate_extends_rope_weights_under_other_schemes(command, small):
    """The extensions are beside the run's own curve; factor 1 changes nothing, factor 16 does."""
    command("train", "+pe=rope", *small, "pe.base=500", "name=mine")
    for extension in (
        ["+pe@extend=yarn", "extend.factor=1"],
        ["+pe@extend=linear", "extend.factor=16"],
        ["pe@extend=none"],
    ):
        code, _, err = command(*EVALUATE_MINE, *extension)
        assert code == 0, err
    rows = rows_of(MINE).set_index(["extend", "factor"])
    assert set(rows.index) == {("", ""), ("yarn", "1"), ("linear", "16"), ("none", "")}
    own = rows.loc[("", "")].nll
    np.testing.assert_array_equal(rows.loc[("yarn", "1")].nll, own)  # with the base of the run
    assert not np.array_equal(rows.loc[("linear", "16")].nll, own)
    assert set(rows.scheme) == {"rope"}
    assert set(rows.tokens) == {rows.tokens.iloc[0]}


def test_train_measures_a_length_of_two_factors_once(command, small, monkeypatch):
    """The matched factor is the fixed one at the longest context, and none up to training's."""
    measured = []
    measure_windows = curve.measure_windows
    monkeypatch.setattr(
        curve, "measure_windows", lambda *a: measured.append(a[2][0].length) or measure_windows(*a)
    )
    command("train", "+pe=ntk", *small, "name=mine")
    assert measured == [8, 16, 32, 64, 128, 256, 8, 16, 32, 64, 128, 32, 64, 128, 256]
    rows = rows_of(MINE).set_index(["factor", "context_length"])
    assert rows.nll[("auto", 256)] == rows.nll[("16", 256)]
    assert rows.nll[("auto", 128)] != rows.nll[("16", 128)]


def test_evaluate_measures_every_protocol_in_one_command(command, small):
    """Each protocol stores its rows and its sums."""
    assert command("train", "+pe=alibi", *small, "name=mine")[0] == 0
    assert len(rows_of(MINE)) == 6
    protocols = f"protocols=[{','.join(PROTOCOLS)}]"
    code, out, err = command(*EVALUATE_MINE, "context_lengths=[8,16,32]", protocols)
    assert code == 0, err
    rows = rows_of(MINE)
    assert set(rows.protocol) == set(PROTOCOLS)
    assert rows.nll.notna().all()
    assert set(rows[rows.protocol == "far_copy"].group) == {"far", "rest"}
    bucketed = rows[rows.protocol == "per_position"]
    assert bucketed.context_length.tolist() == [1, 2, 4, 8, 16, 32]
    assert bucketed.seconds.notna().tolist() == [False] * 5 + [True]
    assert rows[rows.protocol == "fixed_target"].context_length.tolist() == [8, 16, 32]
    assert "[sliding]" in out
    changes = rows[rows.protocol == "perturbed"].groupby("group").context_length.agg(list)
    assert changes["intact"] == [32]
    assert changes["dropped"] == changes["replaced"] == changes["shuffled"] == [1, 2, 4, 8, 16]
    assert "farther is" in out
    assert (MINE / "perturbed.png").is_file()
    assert (MINE / "keys.csv").is_file()
    parts = pd.read_parquet(MINE / "positions.parquet").groupby("context_length").sum()
    assert parts.index.tolist() == [*range(1, 33)]
    last = parts.loc[17:32, ["nll", "tokens"]].sum()
    assert last.nll / last.tokens == pytest.approx(bucketed.nll.iloc[-1], rel=1e-5)
    sums = pd.read_parquet(MINE / "documents.parquet")
    for protocol in PROTOCOLS:
        of_protocol = sums[sums.protocol == protocol]
        total = of_protocol.groupby(["context_length", "group"])[["nll", "weight"]].sum()
        nll = rows[rows.protocol == protocol].nll
        assert sorted(total.nll / total.weight) == pytest.approx(sorted(nll))


def test_evaluate_leaves_out_curves_on_other_targets(command, small, caplog):
    """With other lengths, what shares the last targets is shown, and the rest is named."""
    assert command("train", "+pe=rope", *small, "steps=1", "name=mine")[0] == 0
    before = rows_of(MINE)
    assert before.targets.nunique() == 1
    assert len(before.targets[0]) == 12
    assert command(*EVALUATE_MINE, "+pe@extend=none")[0] == 0
    assert rows_of(MINE).targets.nunique() == 1
    with caplog.at_level(logging.WARNING):
        code, out, err = command(*EVALUATE_MINE, "+pe@extend=none", "context_lengths=[16,32]")
    assert code == 0, err
    messages = [record.getMessage() for record in caplog.records]
    warnings = [message for message in messages if "left out" in message]
    assert len(warnings) == 1
    assert "targets than the last of the run: rope;" in warnings[0]
    assert "none" in out
    note = "Left out, as measured on other targets than the last of the run: rope"
    assert note in (MINE / "report.html").read_text()


def test_train_scores_the_same_targets_under_every_scheme(command, small):
    """The seed of a run does not matter either."""
    protocols = "protocols=[fixed_target,far_copy,per_position]"
    for run in (["+pe=rope", "name=a"], ["+pe=alibi", "name=b", "seed=3"]):
        assert command("train", *run, *small, "steps=1", protocols)[0] == 0
    a, b = (rows_of(f"results/runs/{name}") for name in "ab")
    assert a.targets.tolist() == b.targets.tolist()
    assert (a.targets != "").all()
    bucketed = a.loc[a.protocol == "per_position"]
    assert bucketed.targets.nunique() == len(bucketed)


def test_train_leaves_undefined_lengths_empty(command, small):
    code, out, err = command("train", "+pe=learned", *small, "name=mine")
    assert code == 0, err
    rows = rows_of(MINE).set_index("context_length")
    assert rows.nll.loc[:16].notna().all()
    assert rows.nll.loc[32:].isna().all()
    assert "undefined" in out


def test_train_schedule_sets_the_measured_lengths(command, small):
    """They go from half the first length to 16 times the longest length trained."""
    stages = "length.stages=[{multiple:1,share:0.5},{multiple:2,share:0.5}]"
    code, _, err = command("train", "+pe=yarn", *small, "train_length=8", stages)
    assert code == 0, err
    (folder,) = Path("results/runs").iterdir()
    rows = rows_of(folder)
    assert set(rows.original_length) == {8}
    assert set(rows.trained_length) == {16}
    assert sorted(set(rows.context_length)) == [4, 8, 16, 32, 64, 128, 256]


def test_sweep_of_schemes_and_seeds_records_curves_on_wandb(command, small):
    sweep = ["+pe=rope,alibi", "seed=0,1", "study=sweep", "tracking.wandb=offline", "steps=2"]
    code, _, err = command("train", "-m", *small, *sweep)
    assert code == 0, err
    folders = sorted(Path("results/runs").glob("[!.]*"))
    assert len(folders) == 4
    for folder in folders:
        (record,) = folder.glob("wandb/offline-run-*/*.wandb")  # of training and its own curve
        rows = rows_of(folder)
        group, history, summary = wandb_records.read(record)
        assert group == "sweep"
        points = [
            (row["eval/context_length"], row["eval/perplexity"])
            for row in history
            if "eval/perplexity" in row
        ]
        assert points == list(zip(rows.context_length, rows.perplexity, strict=True))
        assert any(key.startswith("report") for row in history for key in row)
        assert summary["perplexity_256"] == rows.perplexity.iloc[-1]
        metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        losses = [row["train/loss"] for row in history if "train/loss" in row]
        assert losses == [row["loss"] for row in metrics if "loss" in row]

    run_script("plot_curves.py", *folders)
    assert Path("curves.png").stat().st_size > 10_000
    table = run_script("make_table.py", *folders)
    assert table.count("| alibi") == table.count("| rope") == 2
