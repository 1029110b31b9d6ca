"""From the command line to files: a run, a sweep, extensions of its weights, and what wandb recorded."""

import json
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


def rows_of(run: str | Path) -> pd.DataFrame:
    return curves.read_curves(Path(run) / "curves.csv")


def test_a_run_leaves_everything_it_promises(command, small):
    code, out, err = command("train", "+pe=yarn", *small)
    assert code == 0, err
    (folder,) = Path("results/runs").iterdir()
    promised = "config.yaml metrics.jsonl curves.csv documents.parquet curve.png report.html tokenizer.json run.lock"
    assert {path.name for path in folder.iterdir()} == {
        *promised.split(),
        "model.safetensors",
        "run.json",
    }
    assert folder.name.startswith("yarn-nano-16-seed0")

    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    assert (
        list(first) == "step tokens length loss learning_rate grad_norm tokens_per_second".split()
    )
    assert (first["step"], first["tokens"], first["length"]) == (1, 256, 16)

    rows = rows_of(folder)
    assert list(rows.columns) == curves.COLUMNS
    assert sorted(set(zip(rows.extend, rows.factor, strict=True))) == [("", "auto"), ("yarn", "16")]
    for _, of_factor in rows.groupby("factor"):
        assert of_factor.context_length.tolist() == [8, 16, 32, 64, 128, 256]
    assert (rows.nll_low <= rows.nll).all()
    assert (rows.nll <= rows.nll_high).all()
    np.testing.assert_allclose(np.exp(rows.nll), rows.perplexity)
    np.testing.assert_allclose(
        rows.bits_per_byte, rows.nll / np.log(2)
    )  # a byte tokenizer: a token is a byte
    assert rows.tokens.nunique() == rows.documents.nunique() == 1
    assert (rows.seconds > 0).all()
    assert "usable to" in out
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_training_and_measuring_a_run_load_the_corpus_and_plan_it_once(command, small, monkeypatch):
    loads, plans = [], []
    load_data, make_plan = dataset.load_data, curve.make_plan
    monkeypatch.setattr(dataset, "load_data", lambda *a: loads.append(1) or load_data(*a))
    monkeypatch.setattr(curve, "make_plan", lambda *a: plans.append(1) or make_plan(*a))
    code, _, err = command("train", "+pe=rope", *small, "name=mine")
    assert code == 0, err
    assert len(rows_of("results/runs/mine"))
    assert (len(loads), len(plans)) == (1, 1)


def test_the_curve_can_be_made_again_from_the_stored_sums(command, small):
    command("train", "+pe=rope", *small, "name=mine")
    sums = pd.read_parquet("results/runs/mine/documents.parquet")
    total = sums.groupby("context_length")[["nll", "tokens"]].sum()
    np.testing.assert_allclose(total.nll / total.tokens, rows_of("results/runs/mine").nll)


def test_measuring_again_gives_the_same_numbers(command, small):
    command("train", "+pe=alibi", *small, "name=mine")
    before = rows_of("results/runs/mine")
    code, _, err = command(
        "evaluate",
        "run=results/runs/mine",
        "tracking.wandb=disabled",
        "evaluation.tokens_per_batch=512",
    )
    assert code == 0, err
    after = rows_of("results/runs/mine")
    np.testing.assert_allclose(after.nll, before.nll, rtol=1e-5)
    assert len(after) == len(before)


def test_rope_weights_under_other_schemes(command, small):
    """A run's weights under a scaling, beside the run's own curve; factor 1 changes nothing, factor 16 does."""
    command("train", "+pe=rope", *small, "pe.base=500", "name=mine")
    for extension in (
        ["+pe@extend=yarn", "extend.factor=1"],
        ["+pe@extend=linear", "extend.factor=16"],
        ["pe@extend=none"],
    ):
        code, _, err = command(
            "evaluate", "run=results/runs/mine", "tracking.wandb=disabled", *extension
        )
        assert code == 0, err
    rows = rows_of("results/runs/mine").set_index(["extend", "factor"])
    assert set(rows.index) == {("", ""), ("yarn", "1"), ("linear", "16"), ("none", "")}
    np.testing.assert_array_equal(
        rows.loc[("yarn", "1")].nll, rows.loc[("", "")].nll
    )  # so the base was the run's
    assert not np.array_equal(rows.loc[("linear", "16")].nll, rows.loc[("", "")].nll)
    assert set(rows.scheme) == {"rope"}
    assert set(rows.tokens) == {rows.tokens.iloc[0]}


def test_a_length_at_which_matched_and_fixed_factor_meet_is_measured_once(
    command, small, monkeypatch
):
    measured, measure_windows = [], curve.measure_windows
    monkeypatch.setattr(
        curve, "measure_windows", lambda *a: measured.append(a[2][0].length) or measure_windows(*a)
    )
    command("train", "+pe=ntk", *small, "name=mine")
    assert measured == [8, 16, 32, 64, 128, 256, 8, 16, 32, 64, 128]
    rows = rows_of("results/runs/mine").set_index(["factor", "context_length"])
    assert rows.nll[("auto", 256)] == rows.nll[("16", 256)]
    assert rows.nll[("auto", 128)] != rows.nll[("16", 128)]


def test_every_protocol_in_one_command(command, small):
    """Each leaves its rows and its sums; perplexities of one protocol do not depend on the others in the list."""
    assert command("train", "+pe=alibi", *small, "name=mine")[0] == 0
    alone = rows_of("results/runs/mine")
    chosen = f"protocols=[{','.join(PROTOCOLS)}]"
    lengths = "context_lengths=[8,16,32]"
    code, out, err = command(
        "evaluate", "run=results/runs/mine", lengths, chosen, "tracking.wandb=disabled"
    )
    assert code == 0, err
    rows = rows_of("results/runs/mine")
    assert set(rows.protocol) == set(PROTOCOLS)
    assert rows.nll.notna().all()
    assert set(rows[rows.protocol == "far_copy"].group) == {"far", "rest"}
    bucketed = rows[rows.protocol == "per_position"]
    assert bucketed.context_length.tolist() == [1, 2, 4, 8, 16, 32]
    assert bucketed.seconds.notna().tolist() == [False] * 5 + [True]
    headline = rows[rows.protocol == "fixed_target"].set_index("context_length").nll
    assert len(alone) == 6
    assert "[sliding]" in out
    sums = pd.read_parquet("results/runs/mine/documents.parquet")
    for protocol in PROTOCOLS:
        part = sums[sums.protocol == protocol]
        total = part.groupby(["context_length", "group"])[["nll", "weight"]].sum()
        own = rows[rows.protocol == protocol]
        assert sorted(total.nll / total.weight) == pytest.approx(sorted(own.nll))
    assert headline.index.tolist() == [8, 16, 32]
    code, out, err = command(
        "evaluate", "run=results/runs/mine", "protocols=[slidng]", "tracking.wandb=disabled"
    )
    assert (code, "protocols must be one of fixed_target, far_copy" in err) == (2, True)


def test_lengths_at_which_a_scheme_is_undefined_are_gaps(command, small):
    code, out, err = command("train", "+pe=learned", *small, "name=mine")
    assert code == 0, err
    rows = rows_of("results/runs/mine").set_index("context_length")
    assert rows.nll.loc[:16].notna().all()
    assert rows.nll.loc[32:].isna().all()
    assert "undefined" in out


def test_a_schedule_is_measured_from_its_first_to_16_times_its_longest_length(command, small):
    code, _, err = command(
        "train",
        "+pe=yarn",
        *small,
        "train_length=8",
        "length.stages=[{multiple:1,share:0.5},{multiple:2,share:0.5}]",
    )
    assert code == 0, err
    (folder,) = Path("results/runs").iterdir()
    rows = rows_of(folder)
    assert set(rows.original_length) == {8}
    assert set(rows.trained_length) == {16}
    assert sorted(set(rows.context_length)) == [4, 8, 16, 32, 64, 128, 256]


def test_a_sweep_of_two_schemes_and_two_seeds_with_its_curves_on_wandb(command, small, monkeypatch):
    sweep = [
        *small,
        "+pe=rope,alibi",
        "seed=0,1",
        "study=sweep",
        "tracking.wandb=offline",
        "steps=2",
    ]
    code, _, err = command("train", "-m", *sweep)
    assert code == 0, err
    folders = sorted(Path("results/runs").glob("[!.]*"))
    assert len(folders) == 4
    for folder in folders:
        (record,) = folder.glob("wandb/offline-run-*/*.wandb")  # train and its own curve
        rows, (group, history, summary) = rows_of(folder), wandb_records.read(record)
        assert group == "sweep"
        points = [
            (row["eval/context_length"], row["eval/perplexity"])
            for row in history
            if "eval/perplexity" in row
        ]
        assert points == list(zip(rows.context_length, rows.perplexity, strict=True))
        assert any(key.startswith("report") for row in history for key in row)
        assert summary["perplexity_256"] == rows.perplexity.iloc[-1]
        assert [row["train/loss"] for row in history if "train/loss" in row] == [
            row["loss"]
            for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
            if "loss" in row
        ]

    (overlay,) = [
        subprocess.run(
            [sys.executable, SCRIPTS / "plot_curves.py", *folders], check=True, capture_output=True
        )
    ]
    assert overlay.returncode == 0
    assert Path("curves.png").stat().st_size > 10_000
    made = subprocess.run(
        [sys.executable, SCRIPTS / "make_table.py", *folders],
        check=True,
        capture_output=True,
        text=True,
    )
    assert made.stdout.count("| alibi") == made.stdout.count("| rope") == 2


def test_a_sweep_finishes_the_others_when_one_job_fails(command, small):
    code, _, err = command(
        "train", "-m", *small, "+pe=rope", "learning_rate=0.001,-1,0.002", "evaluate=false"
    )
    assert code == 2
    assert "learning_rate must be a number above 0, not -1" in err
    assert len(list(Path("results/runs").glob("*/run.json"))) == 2
