"""The same targets: the digest of what is scored, and who refuses to hold curves on different ones against each other."""

import logging
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.protocol_properties import LENGTHS, RANDOM, SETTINGS, Corpus

from posext.analysis import curves, excess_loss
from posext.eval.protocols import COMPARABLE, PROTOCOLS, targets
from posext.report import curve_plot

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
rng = np.random.default_rng(1)
TWO_SYMBOLS = Corpus([rng.integers(0, 2, size=300) for _ in range(4)])  # where much recurs


def digests(protocol, documents=RANDOM, lengths=LENGTHS, settings=SETTINGS):
    """The digests of each group of a protocol, by length."""
    plan = PROTOCOLS[protocol](documents, lengths, settings)
    return {length: targets(documents, plan, length) for length in plan.windows}


@pytest.mark.parametrize("protocol", sorted(COMPARABLE))
def test_targets_are_one_digest_at_all_lengths_where_lengths_compare(protocol):
    found = list(digests(protocol, TWO_SYMBOLS).values())
    assert found == [found[0]] * len(LENGTHS)
    assert set(found[0]) == ({"far", "rest"} if protocol == "far_copy" else {""})


@pytest.mark.parametrize("protocol", ["yarn_paper", "longlora"])
def test_targets_differ_by_length_where_other_labels_are_scored(protocol):
    documents = Corpus([rng.integers(0, 9, size=700) for _ in range(3)])
    found = [one[""] for one in digests(protocol, documents, [16, 64, 128]).values()]
    assert len(set(found)) == 3


@pytest.mark.parametrize("protocol", sorted(COMPARABLE))
@pytest.mark.parametrize(
    "change", ["longest", "documents", "blocks", "size", "seed", "corpus", "names"]
)
def test_targets_differ_where_other_tokens_are_scored(protocol, change):
    if protocol == "sliding" and change in ("blocks", "size", "seed"):
        pytest.skip("it scores every token")
    documents, lengths, settings = RANDOM, LENGTHS, SETTINGS
    if change == "longest":
        lengths = [8, 16, 32]
    elif change == "corpus":
        documents = Corpus([(tokens + 1) % 11 for tokens in RANDOM.tokens])
    elif change == "names":
        documents = type(
            "Named", (Corpus,), {"names": property(lambda self: [f"e{i}" for i in range(9)])}
        )(RANDOM.tokens)
    else:
        settings = replace(
            settings, **{change: {"documents": 2, "blocks": 2, "size": 2, "seed": 1}[change]}
        )
    assert digests(protocol)[8] != digests(protocol, documents, lengths, settings)[8]


def rows_of(run, lengths=(8, 16, 32), **columns):
    known = dict.fromkeys(curves.COLUMNS, "") | dict.fromkeys(curves.NUMBERS, 1.0)
    known |= {
        "run": run,
        "scheme": run,
        "protocol": "fixed_target",
        "trained_length": 8,
        "original_length": 8,
    }
    known |= {"documents": 6.0, "tokens": 48.0, "targets": "aaaa"}
    return pd.DataFrame([known | {"context_length": length} | columns for length in lengths])


SAYS = r"rope of rope and alibi of alibi are measured on different targets under fixed_target \(48 tokens in 6 documents.*"


@pytest.mark.parametrize("differing", [{"targets": "0bbb"}, {"targets": "", "tokens": 40.0}])
def test_refuse_mixed_targets_names_two_curves_and_what_mends_it(differing):
    mixed = pd.concat([rows_of("rope"), rows_of("alibi", **differing)], ignore_index=True)
    for held in (
        curves.refuse_mixed_targets,
        curves.table,
        lambda rows: excess_loss.excess_loss_table(rows, []),
    ):
        with pytest.raises(
            ValueError,
            match=SAYS + r"measure again with the same context_lengths=\[8,16,32\] and eval",
        ):
            held(mixed)
    with pytest.raises(ValueError, match=SAYS):
        curve_plot.draw_curves(mixed, Path("figure.png"))


def test_refuse_mixed_targets_takes_old_files_by_their_counts_and_other_lengths_where_lengths_do_not_compare():
    curves.refuse_mixed_targets(
        pd.concat([rows_of("rope", targets=""), rows_of("alibi")], ignore_index=True)
    )
    parts = [
        rows_of("rope", (n,), protocol="nonoverlap", targets=f"{n}", tokens=float(n))
        for n in (8, 16)
    ]
    curves.refuse_mixed_targets(pd.concat(parts, ignore_index=True))
    undefined = rows_of("learned", targets="", documents=np.nan, tokens=np.nan)
    curves.refuse_mixed_targets(pd.concat([rows_of("rope"), undefined], ignore_index=True))


def test_refuse_mixed_targets_looks_at_the_crop_baselines_too():
    own, extended = rows_of("rope", targets="bbbb"), rows_of("rope", extend="yarn", factor="16")
    with pytest.raises(ValueError, match="rope of rope and rope → yarn, s = 16 of rope"):
        curves.table(extended, all_curves=pd.concat([own, extended], ignore_index=True))


def test_on_same_targets_leaves_a_curve_out_whole():
    rows = pd.concat(
        [rows_of("rope"), rows_of("alibi", (8, 64), targets="bbbb")], ignore_index=True
    )
    assert set(curves.on_same_targets(rows, rows.iloc[:1]).run) == {"rope"}
    assert set(curves.latest(rows).run) == {"alibi"}


@pytest.mark.parametrize("script", ["make_table", "plot_zoo", "plot_curves"])
def test_the_scripts_refuse_files_on_different_targets(script, monkeypatch, capsys):
    mixed = pd.concat([rows_of("rope"), rows_of("alibi", targets="0bbb")], ignore_index=True)
    mixed.to_csv("curves.csv", index=False)
    monkeypatch.setattr("sys.argv", [script, "curves.csv"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
    assert (
        "rope of rope and alibi of alibi are measured on different targets"
        in capsys.readouterr().err
    )


def test_evaluate_with_other_lengths_draws_what_shares_its_targets_and_names_the_rest(
    command, small, caplog
):
    assert command("train", "+pe=rope", *small, "steps=1", "name=mine")[0] == 0
    folder = Path("results/runs/mine")
    before = curves.read_curves(folder / "curves.csv")
    assert before.targets.nunique() == 1
    assert len(before.targets[0]) == 12
    again = ["evaluate", f"run={folder}", "tracking.wandb=disabled", "+pe@extend=none"]
    assert command(*again)[0] == 0
    assert curves.read_curves(folder / "curves.csv").targets.nunique() == 1
    with caplog.at_level(logging.WARNING):
        code, out, err = command(*again, "context_lengths=[16,32]")
    assert code == 0, err
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == 1
    assert "targets than the last of the run: rope;" in said[0]
    assert "none" in out
    assert (
        "Left out, as measured on other targets than the last of the run: rope"
        in (folder / "report.html").read_text()
    )


def test_two_runs_of_other_schemes_and_seeds_have_the_same_targets(command, small):
    for typed in (["+pe=rope", "name=a"], ["+pe=alibi", "name=b", "seed=3"]):
        assert (
            command(
                "train", *typed, *small, "steps=1", "protocols=[fixed_target,far_copy,per_position]"
            )[0]
            == 0
        )
    a, b = (curves.read_curves(f"results/runs/{name}/curves.csv") for name in "ab")
    assert a.targets.tolist() == b.targets.tolist()
    assert (a.targets != "").all()
    assert (
        a.loc[a.protocol == "per_position"].targets.nunique()
        == (a.protocol == "per_position").sum()
    )
