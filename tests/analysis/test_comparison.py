"""Tables of differences, from folders that hold what a run stores and nothing else."""

import numpy as np
import pandas as pd
import pytest
from helpers.stored_runs import RISES, write_run

from posext.analysis import comparison, document_sums, seed_spread

BOOTSTRAP = comparison.Bootstrap(200)


@pytest.fixture
def spreads(tmp_path, monkeypatch):
    """Known spreads of four seeds at the size nano: 0.1 nats for rope, 0.05 for alibi."""
    file = tmp_path / "spread.csv"
    rows = [("nano", "rope", 16, 1000, 4, 0.1), ("nano", "alibi", 16, 1000, 4, 0.05)]
    pd.DataFrame(rows, columns=seed_spread.SPREAD_COLUMNS).to_csv(file, index=False)
    monkeypatch.setattr(seed_spread, "SPREAD_FILE", file)


def test_to_first_pairs_differences_over_documents(tmp_path):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other", "alibi")
    table = comparison.to_first(document_sums.read_stored([one, other])).set_index("context")
    assert table.documents.tolist() == [30] * 4
    assert table.difference.tolist() == pytest.approx([0.1, 0.1, -0.35, -0.85], abs=0.02)
    assert (table.high - table.low).max() < 0.05  # documents differ by nats
    assert table.ratio.tolist() == pytest.approx(np.exp(table.difference).tolist())


def test_to_first_refuses_disjoint_documents(tmp_path):
    one = write_run(tmp_path / "one")
    apart = write_run(tmp_path / "apart", "alibi", documents=range(30, 40))
    message = r"alibi of apart and rope of one .* different documents \(10 and 30, 0 of them"
    with pytest.raises(ValueError, match=message):
        comparison.to_first(document_sums.read_stored([one, apart]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"tokens": 99}, "of d0, 99 tokens of 300 bytes and 100 tokens of 300 bytes"),
        ({"bytes": 7}, "100 tokens of 7 bytes and"),
    ],
)
def test_to_first_refuses_targets_that_differ(tmp_path, columns, message):
    one = write_run(tmp_path / "one")
    other = write_run(tmp_path / "other", "alibi", **columns)
    with pytest.raises(ValueError, match=message):
        comparison.to_first(document_sums.read_stored([one, other]))


def test_to_first_refuses_partly_shared_documents(tmp_path):
    one = write_run(tmp_path / "one")
    other = write_run(tmp_path / "other", "alibi", documents=range(10, 40))
    message = (
        r"\(30 and 30, 20 of them in both\).*measure again with the same context_lengths=\[\.\.\.\]"
    )
    with pytest.raises(ValueError, match=message):
        comparison.to_first(document_sums.read_stored([one, other]))


def test_to_first_one_seed_verdict_exceeds_known_noise(tmp_path, spreads):
    one = write_run(tmp_path / "one", model="nano")
    other = write_run(tmp_path / "other", "alibi", model="nano")
    table = comparison.to_first(document_sums.read_stored([one, other]))
    limit = seed_spread.noise(
        seed_spread.known_spread("nano", "rope"), seed_spread.known_spread("nano", "alibi")
    )
    assert 0.12 < limit < 0.33
    assert table.verdict.tolist() == ["within seeds", "within seeds", "lower", "lower"]
    assert (table.low * table.high > 0).all()  # by its documents each is sure


def test_to_first_gives_no_verdict_of_one_seed_of_unknown_spread(tmp_path, spreads):
    one = write_run(tmp_path / "one", model="huge")
    other = write_run(tmp_path / "other", "alibi", model="huge")
    curves = document_sums.read_stored([one, other])
    assert set(comparison.to_first(curves).verdict) == {"one seed"}
    assert "no seeds were compared" in comparison.seed_caveats(curves)[0]


def test_to_first_judges_extensions_of_a_run_by_documents(tmp_path, spreads):
    """Their verdict depends on documents alone, as a caveat notes."""
    folder = write_run(write_run(tmp_path / "one", model="nano"), extend="alibi", model="nano")
    curves = document_sums.read_stored([folder])
    assert comparison.to_first(curves).verdict.tolist() == ["higher", "higher", "lower", "lower"]
    assert comparison.seed_caveats(curves) == [comparison.ONE_RUN_CAVEAT]


def test_to_first_judges_several_seeds_by_their_paired_interval(tmp_path, spreads):
    shifts = {"rope": (0.0, 0.3, -0.2, 0.1), "alibi": (0.3, 0.1, -0.3, 0.0)}  # of each seed's runs
    runs = [
        write_run(tmp_path / f"{scheme}{seed}", scheme, seed, model="nano", shift=shift)
        for scheme, values in shifts.items()
        for seed, shift in enumerate(values)
    ]
    table = comparison.to_first(document_sums.read_stored(runs)).set_index("context")
    assert set(table.loc[16].verdict) <= {"within seeds", "no difference seen"}
    assert (table.loc[16].verdict == "within seeds").any()  # sure by documents, but seeds disagree
    assert (table.loc[64].verdict == "lower").all()


def test_to_crop_compares_with_the_run_as_trained(tmp_path):
    """The baseline is the run as trained, at its training length, also under an extension."""
    folder = write_run(write_run(tmp_path / "rope"), extend="alibi")
    as_trained, extended = document_sums.read_stored([folder])
    assert comparison.to_crop(as_trained).verdict.tolist() == ["survives", "fails", "fails"]
    table = comparison.to_crop(extended)
    # The extension's own value at 16 would give 0 first.
    assert table.difference.tolist() == pytest.approx([0.1, 0.05, 0.05], abs=0.02)


def test_derived_compares_with_the_run_as_trained(tmp_path):
    folder = write_run(write_run(tmp_path / "rope"), extend="alibi")
    as_trained, extended = document_sums.read_stored([folder])
    numbers = comparison.derived(extended, BOOTSTRAP)
    assert (numbers["usable"], numbers["8x"], numbers["seed"]) == ("nowhere", None, 0)
    assert numbers["gain"].low < 0.05 < numbers["gain"].high
    assert numbers["4x"].value == pytest.approx(-0.05, abs=0.02)
    assert comparison.derived(as_trained, BOOTSTRAP)["share"] == 1


def test_to_first_and_to_crop_give_one_document_no_verdict(tmp_path):
    one = write_run(tmp_path / "one", documents=[3])
    other = write_run(tmp_path / "other", "alibi", documents=[3])
    table = comparison.to_first(document_sums.read_stored([one, other]))
    assert set(table.verdict) == {"no interval"}
    assert table[["low", "high"]].isna().to_numpy().all()
    (curve,) = document_sums.read_stored([one])
    assert set(comparison.to_crop(curve).verdict) == {"no interval"}


def test_derived_gives_one_document_no_intervals(tmp_path):
    (curve,) = document_sums.read_stored([write_run(tmp_path / "one", documents=[3])])
    numbers = comparison.derived(curve, BOOTSTRAP)
    assert numbers["share"] is None  # all resamples are the same: it would be 1
    assert np.isnan(numbers["gain"].low)
    assert np.isnan(numbers["2x"].high)


def test_seeds_table_pairs_seeds_and_separates_their_spread(tmp_path):
    runs = [
        write_run(tmp_path / f"{scheme}{seed}", scheme, seed)
        for scheme in RISES
        for seed in (0, 1, 2)
    ]
    table = comparison.to_first(document_sums.read_stored(runs))
    by_seed = table.groupby("seed").difference.first().to_numpy()
    assert by_seed == pytest.approx([0.1] * 3, abs=1e-9)  # both runs of a seed have its noise
    seeds = comparison.seeds_table(table)
    assert seeds["count"].tolist() == [3] * 4
    assert seeds["mean"].tolist() == pytest.approx([0.1, 0.1, -0.35, -0.85])
    assert seeds["sd"].tolist() == pytest.approx([0] * 4, abs=1e-9)
    of_one_seed = comparison.to_first(document_sums.read_stored([runs[0], runs[3]]))
    assert not len(comparison.seeds_table(of_one_seed))
