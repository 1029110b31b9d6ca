"""Differences and tables over seeds: sizes are told apart, and a seed stands for one run."""

import pytest
from helpers.stored_runs import write_run

from posext.analysis import curve_table, curves, document_sums
from posext.analysis.comparison_over_seeds import compare_over_seeds
from posext.utils.errors import PosextError

SEEDS = (0, 1, 2)


@pytest.fixture
def two_sizes(tmp_path):
    """Runs of two schemes at two sizes, of which the large one is a nat lower."""
    return [
        write_run(tmp_path / f"{scheme}-{model}-{seed}", scheme, seed, model=model, shift=shift)
        for model, shift in (("nano", 0.0), ("tiny", -1.0))
        for scheme in ("rope", "alibi")
        for seed in SEEDS
    ]


def test_compare_over_seeds_tells_sizes_apart(two_sizes):
    table = compare_over_seeds(document_sums.read_stored(two_sizes))
    by_scheme = table.loc[table.context == 16].set_index(["scheme", "model"]).difference
    assert by_scheme["alibi", "nano"] == pytest.approx(0.1, abs=0.01)
    assert by_scheme["rope", "tiny"] == pytest.approx(-1.0, abs=0.01)
    assert by_scheme["alibi", "tiny"] == pytest.approx(-0.9, abs=0.01)


def test_table_over_seeds_has_a_row_for_each_size(two_sizes):
    rows = curves.of_runs(two_sizes)
    nll = rows.model.map({"nano": 2.0, "tiny": 1.0})
    lines = curve_table.table_over_seeds(rows.assign(nll=nll)).splitlines()
    starts = [" ".join(line.split()[:5]) for line in lines]
    assert "rope · nano 3 7.39" in starts
    assert "rope · tiny 3 2.72" in starts


def test_over_seeds_refuses_two_runs_of_one_seed(tmp_path):
    runs = [write_run(tmp_path / name, "rope", 0) for name in ("one", "other")]
    runs.append(write_run(tmp_path / "alibi", "alibi", 0))
    refusal = pytest.raises(PosextError, match="rope has two runs of seed 0, one and other")
    with refusal:
        curve_table.table_over_seeds(curves.of_runs(runs))
    with refusal:
        compare_over_seeds(document_sums.read_stored(runs))
