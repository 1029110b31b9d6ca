"""Excess loss over the Bayes floor, from sums per document and of a measured run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.stored_runs import RISES, write_run

from posext.analysis import curves, excess_loss
from posext.eval import bayes_floor
from posext.runs import run


def sums_of(nll: dict[tuple[str, str], dict[int, np.ndarray]]) -> pd.DataFrame:
    """Return sums of 10 targets a document, from the NLL of each (extend, factor) and length."""
    rows = []
    for (extend, factor), curve in nll.items():
        for length, nll_D in curve.items():
            for document, value in enumerate(nll_D):
                row = {"extend": extend, "factor": factor, "protocol": "p"}
                row |= {"context_length": length, "document": f"d{document}"}
                rows.append(row | {"nll": 10 * value, "tokens": 10})
    return pd.DataFrame(rows)


def test_distances_are_paired_and_shares_are_of_the_gain():
    """A share is taken from the run as trained with its matched factor."""
    rng = np.random.default_rng(0)
    level = rng.normal(1, 0.4, size=60)
    sums = sums_of(
        {
            ("", "auto"): {8: level + 0.1, 16: level + 0.05 + rng.normal(0, 0.01, 60)},
            ("", "16"): {8: level + 0.3},
            ("yarn", ""): {16: level - 0.2, 32: level},
            (bayes_floor.FLOOR, ""): {8: level, 16: level - 0.2},
        }
    )
    distances = excess_loss.excess_losses(sums, train_length=8)
    near = distances.loc[("", "auto", "p", 16)]
    assert near.distance.value == pytest.approx(0.25, abs=0.005)
    width = near.distance.high - near.distance.low
    assert 0 < width < 0.01  # the levels alone are uncertain by 0.2
    assert near.share.value == pytest.approx(0.05 / 0.2, abs=0.03)
    assert near.share.low < near.share.value < near.share.high
    assert distances.loc[("yarn", "", "p", 16)].share.value == pytest.approx(0.3 / 0.2)
    assert distances.loc[("", "16", "p", 8)].distance.value == pytest.approx(0.3)
    assert np.isnan(distances.loc[("", "auto", "p", 8)].share).all()
    beyond_floor = distances.loc[("yarn", "", "p", 32)]
    assert np.isnan([*beyond_floor.distance, *beyond_floor.share]).all()


def test_excess_loss_cell_of_one_document_has_no_interval():
    level = np.ones(1)
    sums = sums_of(
        {
            ("", ""): {8: level + 0.1, 16: level},
            (bayes_floor.FLOOR, ""): {8: level, 16: level - 0.2},
        }
    )
    excess = excess_loss.excess_losses(sums, train_length=8).loc[("", "", "p", 16)]
    assert excess_loss.excess_loss_cell(*excess) == "0.200 (no interval)"


def test_excess_loss_of_run_needs_the_targets_of_the_floor(command, small_markov):
    """Curves that were measured on other targets than the floor have no distance."""
    assert command("train", "+pe=rope", *small_markov, "steps=1", "name=mine")[0] == 0
    folder = Path("results/runs/mine")

    def excess() -> pd.DataFrame:
        return excess_loss.excess_loss_of_run(run.load_run(folder))

    before = excess()
    assert set(before.index.get_level_values("extend")) == {"", "floor"}
    again = ["evaluate", f"run={folder}", "tracking.wandb=disabled", "+pe@extend=none"]
    assert command(*again)[0] == 0
    assert excess().loc[""].distance.tolist() == before.loc[""].distance.tolist()
    assert command(*again, "context_lengths=[16,32]")[0] == 0
    assert set(excess().index.get_level_values("extend")) == {"none", "floor"}


def test_excess_by_run_has_the_names_of_the_curves(command, small_markov, monkeypatch):
    """Also of a run that was moved and is named by a dot."""
    assert command("train", "+pe=rope", *small_markov, "steps=1", "name=mine")[0] == 0
    moved = Path("moved").absolute()
    Path("results/runs/mine").rename(moved)
    monkeypatch.chdir(moved)
    assert list(excess_loss.excess_by_run(Path("."))) == ["mine"]


def test_excess_loss_table_has_no_rows_of_other_protocols(tmp_path, monkeypatch):
    monkeypatch.setitem(RISES, bayes_floor.FLOOR, [0.0, -0.1, -0.2, -0.3])
    folder = write_run(tmp_path / "mine", corpus="own")
    write_run(folder, extend=bayes_floor.FLOOR, corpus="own")
    write_run(folder, protocol="perturbed", corpus="own")
    (folder / "configs").mkdir()
    sums = pd.read_parquet(folder / "documents.parquet").assign(run="mine")
    sums.to_parquet(folder / "documents.parquet")
    table = excess_loss.excess_loss_table(curves.of_runs([folder]), [folder])
    assert "rope" in table
    assert "perturbed" not in table
