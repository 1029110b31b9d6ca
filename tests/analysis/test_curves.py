"""Curves files: reading them, and comparing curves on the same targets only."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.stored_runs import write_run

from posext.analysis import curve_table, curves, excess_loss, same_targets
from posext.report import curve_plot
from posext.utils.errors import PosextError

ROOT = Path(__file__).resolve().parents[2]
FORMER_RUN = ROOT / "tests" / "fixtures" / "run_before_rooms"
MIXED_TARGETS = (
    "rope of rope and alibi of alibi are measured on different targets under fixed_target "
    r"\(48 tokens in 6 documents.*"
)


def rows_of(run, lengths=(8, 16, 32), **columns):
    """Return the rows of a run whose name is that of its scheme."""
    row = dict.fromkeys(curves.COLUMNS, "") | dict.fromkeys(curves.NUMBERS, 1.0)
    row |= {"run": run, "scheme": run, "corpus": "own", "protocol": "fixed_target"}
    row |= {"trained_length": 8, "original_length": 8}
    row |= {"documents": 6.0, "tokens": 48.0, "targets": "aaaa"}
    return pd.DataFrame([row | {"context_length": length} | columns for length in lengths])


def joined(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def test_read_curves_renames_the_former_trained_length():
    file = FORMER_RUN / "curves.csv"
    assert "train_length" in pd.read_csv(file)
    rows = curves.read_curves(file)
    assert list(rows) == curves.COLUMNS
    assert set(rows.trained_length) == {32}


@pytest.mark.parametrize(("nll", "expected"), [(3.0, 3.0), (None, float("inf"))])
def test_objective_is_the_loss_at_the_longest_context(tmp_path, nll, expected):
    """The loss is that as trained under the first protocol, and infinite where undefined."""
    rows = [
        ("", "fixed_target", 16, 2.0),
        ("", "fixed_target", 64, nll),
        ("yarn", "fixed_target", 64, 1.0),
        ("", "sliding", 64, 0.5),
    ]
    table = pd.DataFrame(rows, columns=["extend", "protocol", "context_length", "nll"])
    table.reindex(columns=curves.COLUMNS).to_csv(tmp_path / "curves.csv", index=False)
    assert curves.objective(tmp_path / "curves.csv") == expected


def test_objective_of_a_missing_file_is_none(tmp_path):
    assert curves.objective(tmp_path / "none.csv") is None


@pytest.mark.parametrize("differing", [{"targets": "0bbb"}, {"targets": "", "tokens": 40.0}])
@pytest.mark.parametrize(
    "compare",
    [
        same_targets.refuse_mixed_targets,
        curve_table.table,
        lambda rows: excess_loss.excess_loss_table(rows, []),
        lambda rows: curve_plot.draw_curves(rows, Path("figure.png")),
    ],
    ids=["refuse_mixed_targets", "table", "excess_loss_table", "draw_curves"],
)
def test_refuse_mixed_targets_names_curves_and_remedy(compare, differing):
    mixed = joined(rows_of("rope"), rows_of("alibi", **differing))
    remedy = r"measure again with the same context_lengths=\[8,16,32\] and eval"
    with pytest.raises(ValueError, match=MIXED_TARGETS + remedy):
        compare(mixed)


def test_refuse_mixed_targets_compares_old_files_by_counts():
    same_targets.refuse_mixed_targets(joined(rows_of("rope", targets=""), rows_of("alibi")))
    undefined = rows_of("learned", targets="", documents=np.nan, tokens=np.nan)
    same_targets.refuse_mixed_targets(joined(rows_of("rope"), undefined))


def test_refuse_mixed_targets_allows_targets_of_each_length():
    """Lengths may have targets of their own under a protocol that does not compare them."""
    of_lengths = [
        rows_of("rope", (n,), protocol="nonoverlap", targets=f"{n}", tokens=float(n))
        for n in (8, 16)
    ]
    same_targets.refuse_mixed_targets(joined(*of_lengths))


def test_refuse_mixed_targets_includes_crop_baselines():
    own, extended = rows_of("rope", targets="bbbb"), rows_of("rope", extend="yarn", factor="16")
    with pytest.raises(ValueError, match="rope of rope and rope → yarn, s = 16 of rope"):
        curve_table.table(extended, all_curves=joined(own, extended))


def test_on_same_targets_omits_a_whole_curve():
    rows = joined(rows_of("rope"), rows_of("alibi", (8, 64), targets="bbbb"))
    assert set(same_targets.on_same_targets(rows, rows.iloc[:1]).run) == {"rope"}
    assert set(same_targets.latest(rows).run) == {"alibi"}


def test_dedupe_floor_keeps_one_floor_of_the_same_targets():
    rows = pd.DataFrame(
        [
            {"run": name, "extend": extend, "context_length": n, "nll": nll, "protocol": "p"}
            for name, floor in (("a", 1.0), ("b", 1.0), ("c", 1.1))
            for extend, nll in (("", 2.0), ("floor", floor))
            for n in (8, 16)
        ]
    ).assign(corpus="own")
    kept = curves.dedupe_floor(rows)
    assert kept[kept.extend == "floor"].run.tolist() == ["a", "a", "c", "c"]
    assert (kept.extend == "").sum() == 6


@pytest.mark.parametrize("script", ["make_table", "plot_zoo", "plot_curves"])
def test_scripts_refuse_mixed_targets(script, monkeypatch, capsys):
    mixed = joined(rows_of("rope"), rows_of("alibi", targets="0bbb"))
    mixed.to_csv("curves.csv", index=False)
    monkeypatch.setattr("sys.argv", [script, "curves.csv"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
    message = "rope of rope and alibi of alibi are measured on different targets"
    assert message in capsys.readouterr().err


def test_of_runs_refuses_two_runs_of_one_name(tmp_path):
    """A copy counts once: a study with the run, or its folder under another path."""
    one, copy, other = (tmp_path / name for name in ("one.csv", "copy.csv", "other.csv"))
    rows_of("rope").to_csv(one, index=False)
    joined(rows_of("alibi"), rows_of("rope")).to_csv(copy, index=False)
    rows_of("rope", nll=1.001).to_csv(other, index=False)
    taken = curves.of_runs([one, one, copy])
    assert taken.run.tolist() == ["rope"] * 3 + ["alibi"] * 3
    message = f"{one} and {other} have different curves of a run named rope"
    with pytest.raises(PosextError, match=message):
        curves.of_runs([one, other])


def test_usable_is_not_measured_where_the_training_length_was_not(tmp_path):
    """The crop baseline is the run's as trained; the extension was measured beyond it alone."""
    folder = write_run(tmp_path / "rope", "rope")
    write_run(folder, "rope", extend="alibi")
    rows = curves.read_curves(folder / "curves.csv")
    extended = rows.loc[(rows.extend == "alibi") & (rows.context_length > 16)]
    assert curve_table.usable(curve_table.summary(extended, rows)) == "not measured"
    whole = rows.loc[rows.extend == "alibi"]
    assert curve_table.usable(curve_table.summary(whole, rows)) != "not measured"
