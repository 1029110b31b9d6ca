"""Tables of differences, from folders that hold what a run stores and nothing else."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from posext.analysis import comparison, curves, document_sums, seed_spread

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare.py"
RISES = {
    "rope": [0.5, 0.0, 0.4, 0.9],
    "alibi": [0.6, 0.1, 0.05, 0.05],
}  # above each document's own loss, by length
LENGTHS, BOOTSTRAP = [8, 16, 32, 64], comparison.Bootstrap(200)


def run(
    folder,
    scheme="rope",
    seed=0,
    extend="",
    protocol="fixed_target",
    documents=range(30),
    model="",
    shift=0.0,
    **columns,
):
    """Write a run whose loss on document d is 2 + d / 10 nats and what RISES says, 100 tokens each."""
    folder.mkdir(exist_ok=True)
    known = dict.fromkeys(curves.COLUMNS, "") | dict.fromkeys(curves.NUMBERS, 1.0)
    known |= {
        "run": folder.name,
        "scheme": scheme,
        "extend": extend,
        "seed": seed,
        "protocol": protocol,
    }
    known |= {"trained_length": 16, "original_length": 16, "model": model}
    rows = pd.DataFrame([known | {"context_length": length} for length in LENGTHS])
    pd.concat([curves.read_curves(folder / "curves.csv"), rows]).to_csv(
        folder / "curves.csv", index=False
    )
    noise = np.random.default_rng(seed).normal(0, 0.01, size=(4, len(documents)))
    sums = [
        {"document": f"d{d}", "nll": 100 * (2 + d / 10 + RISES[extend or scheme][i] + 0.01 * seed + shift + noise[i, k]),
         "tokens": 100, "bytes": 300 + d, "context_length": length, "extend": extend, "factor": "",
         "protocol": protocol, **columns}
        for i, length in enumerate(LENGTHS)
        for k, d in enumerate(documents)
    ]  # fmt: skip
    file = folder / "documents.parquet"
    before = [pd.read_parquet(file)] if file.exists() else []
    pd.concat([*before, pd.DataFrame(sums)]).to_parquet(file)
    return folder


@pytest.fixture
def spreads(tmp_path, monkeypatch):
    """What is known of seeds: 0.1 nats for rope and 0.05 for alibi, of four seeds, at the size nano."""
    file = tmp_path / "spread.csv"
    rows = [("nano", "rope", 16, 1000, 4, 0.1), ("nano", "alibi", 16, 1000, 4, 0.05)]
    pd.DataFrame(rows, columns=seed_spread.SPREAD_COLUMNS).to_csv(file, index=False)
    monkeypatch.setattr(seed_spread, "SPREAD_FILE", file)


def test_to_first_pairs_the_differences_over_documents(tmp_path):
    one, other = run(tmp_path / "one"), run(tmp_path / "other", "alibi")
    table = comparison.to_first(document_sums.read_stored([one, other])).set_index("context")
    assert table.documents.tolist() == [30] * 4
    assert table.difference.tolist() == pytest.approx([0.1, 0.1, -0.35, -0.85], abs=0.02)
    assert (table.high - table.low).max() < 0.05  # documents differ by nats
    assert table.ratio.tolist() == pytest.approx(np.exp(table.difference).tolist())


def test_documents_or_targets_that_differ_are_refused(tmp_path):
    one, apart = run(tmp_path / "one"), run(tmp_path / "apart", "alibi", documents=range(30, 40))
    with pytest.raises(
        ValueError,
        match=r"alibi of apart and rope of one .* different documents \(10 and 30, 0 of them",
    ):
        comparison.to_first(document_sums.read_stored([one, apart]))
    with pytest.raises(
        ValueError, match=r"of d0, 99 tokens of 300 bytes and 100 tokens of 300 bytes"
    ):
        comparison.to_first(
            document_sums.read_stored([one, run(tmp_path / "fewer", "alibi", tokens=99)])
        )
    with pytest.raises(ValueError, match="100 tokens of 7 bytes and"):
        comparison.to_first(
            document_sums.read_stored([one, run(tmp_path / "others", "alibi", bytes=7)])
        )
    with pytest.raises(ValueError, match="nothing to compare"):
        comparison.to_first(document_sums.read_stored([one]))


def test_to_first_refuses_runs_that_share_some_documents_only(tmp_path):
    one, other = run(tmp_path / "one"), run(tmp_path / "other", "alibi", documents=range(10, 40))
    says = (
        r"\(30 and 30, 20 of them in both\).*measure again with the same context_lengths=\[\.\.\.\]"
    )
    with pytest.raises(ValueError, match=says):
        comparison.to_first(document_sums.read_stored([one, other]))


def test_stored_read_refuses_curves_whose_digests_of_targets_differ(tmp_path):
    one, other = run(tmp_path / "one"), run(tmp_path / "other", "alibi")
    for folder, digest in ((one, "aaaa"), (other, "bbbb")):
        curves.read_curves(folder / "curves.csv").assign(targets=digest).to_csv(
            folder / "curves.csv", index=False
        )
    with pytest.raises(
        ValueError, match=r"alibi of other and rope of one are measured on different targets"
    ):
        document_sums.read_stored([one, other])
    assert len(document_sums.read_stored([one])) == 1


def test_to_first_gives_a_verdict_of_one_seed_only_above_the_known_noise_of_seeds(
    tmp_path, spreads
):
    one, other = run(tmp_path / "one", model="nano"), run(tmp_path / "other", "alibi", model="nano")
    table = comparison.to_first(document_sums.read_stored([one, other]))
    limit = seed_spread.noise(
        seed_spread.known_spread("nano", "rope"), seed_spread.known_spread("nano", "alibi")
    )
    assert 0.12 < limit < 0.33
    assert table.verdict.tolist() == ["within seeds", "within seeds", "lower", "lower"]
    assert (table.low * table.high > 0).all()  # by its documents each is sure


def test_to_first_gives_no_verdict_of_one_seed_where_nothing_is_known_of_seeds(tmp_path, spreads):
    one, other = run(tmp_path / "one", model="huge"), run(tmp_path / "other", "alibi", model="huge")
    curves_read = document_sums.read_stored([one, other])
    assert set(comparison.to_first(curves_read).verdict) == {"one seed"}
    assert "no seeds were compared" in comparison.seed_caveats(curves_read)[0]


def test_to_first_judges_extensions_of_one_run_by_documents_alone_and_says_so(tmp_path, spreads):
    folder = run(run(tmp_path / "one", model="nano"), extend="alibi", model="nano")
    curves_read = document_sums.read_stored([folder])
    assert comparison.to_first(curves_read).verdict.tolist() == [
        "higher",
        "higher",
        "lower",
        "lower",
    ]
    assert comparison.seed_caveats(curves_read) == [comparison.ONE_RUN_CAVEAT]


def test_to_first_takes_the_verdict_of_several_seeds_from_their_paired_interval(tmp_path, spreads):
    shifts = {"rope": (0.0, 0.3, -0.2, 0.1), "alibi": (0.3, 0.1, -0.3, 0.0)}  # of each seed's runs
    runs = [
        run(tmp_path / f"{scheme}{seed}", scheme, seed, model="nano", shift=shift)
        for scheme, values in shifts.items()
        for seed, shift in enumerate(values)
    ]
    table = comparison.to_first(document_sums.read_stored(runs)).set_index("context")
    assert set(table.loc[16].verdict) <= {"within seeds", "no difference seen"}
    assert (table.loc[16].verdict == "within seeds").any()  # sure by documents, but seeds disagree
    assert (table.loc[64].verdict == "lower").all()


def test_each_length_is_held_against_the_run_as_trained_at_its_training_length(tmp_path):
    curve, extended = document_sums.read_stored([run(run(tmp_path / "rope"), extend="alibi")])
    assert comparison.to_crop(curve).verdict.tolist() == ["survives", "fails", "fails"]
    table = comparison.to_crop(extended)
    assert table.difference.tolist() == pytest.approx(
        [0.1, 0.05, 0.05], abs=0.02
    )  # not against its own value at 16
    numbers = comparison.derived(extended, BOOTSTRAP)
    assert (numbers["usable"], numbers["8x"], numbers["seed"]) == ("nowhere", None, 0)
    assert numbers["gain"].low < 0.05 < numbers["gain"].high
    assert numbers["4x"].value == pytest.approx(-0.05, abs=0.02)
    assert comparison.derived(curve, BOOTSTRAP)["share"] == 1


def test_one_document_gives_differences_and_no_verdict(tmp_path):
    one, other = (
        run(tmp_path / "one", documents=[3]),
        run(tmp_path / "other", "alibi", documents=[3]),
    )
    table = comparison.to_first(document_sums.read_stored([one, other]))
    assert (
        set(table.verdict)
        == set(comparison.to_crop(document_sums.read_stored([one])[0]).verdict)
        == {"no interval"}
    )
    assert table[["low", "high"]].isna().to_numpy().all()
    numbers = comparison.derived(document_sums.read_stored([one])[0], BOOTSTRAP)
    assert numbers["share"] is None  # all resamples are the same: it would be 1
    assert np.isnan(numbers["gain"].low)
    assert np.isnan(numbers["2x"].high)


def test_seeds_pairs_seeds_of_one_number_and_keeps_their_spread_apart(tmp_path):
    runs = [
        run(tmp_path / f"{scheme}{seed}", scheme, seed) for scheme in RISES for seed in (0, 1, 2)
    ]
    table = comparison.to_first(document_sums.read_stored(runs))
    assert table.groupby("seed").difference.first().to_numpy() == pytest.approx(
        [0.1] * 3, abs=1e-9
    )  # the same noise
    seeds = comparison.seeds_table(table)
    assert seeds["count"].tolist() == [3] * 4
    assert seeds["mean"].tolist() == pytest.approx([0.1, 0.1, -0.35, -0.85])
    assert seeds["sd"].tolist() == pytest.approx([0] * 4, abs=1e-9)
    assert not len(
        comparison.seeds_table(comparison.to_first(document_sums.read_stored([runs[0], runs[3]])))
    )


def test_a_protocol_has_groups_and_weights(tmp_path):
    folder = run(tmp_path / "one", protocol="far_copy", group="far", weight=50.0)
    run(folder)
    (curve,) = document_sums.read_stored([folder], "far_copy", "far")
    _, weight = document_sums.align_documents([curve.sums[16]])
    assert set(weight) == {50}
    assert set(
        document_sums.align_documents([document_sums.read_stored([folder])[0].sums[16]])[1]
    ) == {100}  # stored beside it, without either
    with pytest.raises(ValueError, match="has no group 'near'; it has 'far'"):
        document_sums.read_stored([folder], "far_copy", "near")
    with pytest.raises(
        ValueError, match="has no protocol 'sliding'; it has 'far_copy', 'fixed_target'"
    ):
        document_sums.read_stored([folder], "sliding")
    with pytest.raises(ValueError, match=r"holds no curves; python -m posext\.evaluate run="):
        document_sums.read_stored([tmp_path / "none"])


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["one", "other"], "| alibi    | 16        | 0      | 64        | 0           | -0.8"),
        (
            ["one", "other"],
            "One seed: at this size (nano), training again with another seed moves the loss by",
        ),
        (["one", "other", "--at-train"], "a verdict is of that run's weights alone"),
        (["one", "other", "--at-train"], "survives"),
    ],
)
def test_the_script_prints_the_tables(typed, says, tmp_path, monkeypatch, capsys):
    run(run(tmp_path / "one", model="nano"), protocol="nonoverlap", model="nano")
    run(tmp_path / "other", "alibi", model="nano")
    monkeypatch.setattr("sys.argv", ["compare.py", *typed])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert says in capsys.readouterr().out


@pytest.mark.parametrize("typed", [["one", "other"], ["one", "--at-train"]])
def test_the_script_says_that_one_document_gives_no_interval(typed, tmp_path, monkeypatch, capsys):
    run(tmp_path / "one", documents=[3])
    run(tmp_path / "other", "alibi", documents=[3])
    monkeypatch.setattr("sys.argv", ["compare.py", *typed])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    out = capsys.readouterr().out
    assert "no interval" in out
    assert "nan" not in out
