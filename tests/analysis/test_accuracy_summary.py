"""Accuracy files, intervals, means and ranks from numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from posext.analysis import accuracy
from posext.analysis.accuracy_summary import (
    accuracy_table,
    reciprocal_ranks,
    summary,
    summary_table,
)
from posext.utils.errors import PosextError


def table(*rows, chance: float = 0.2) -> pd.DataFrame:
    """Rows of accuracy.csv from (scheme, task, seed, length, exact of 100)."""
    made = [
        {
            "study": "s",
            "run": f"{scheme}-{task}-{seed}",
            "scheme": scheme,
            "extend": "",
            "factor": "",
            "model": "pico",
            "parameters": 1,
            "seed": seed,
            "task": task,
            "trained_length": 10,
            "length": length,
            "tokens": 2 * length + 2,
            "examples": 0 if exact is None else 100,
            "exact": exact,
            "symbols": 400,
            "right": None if exact is None else 4 * exact,
            "effective_symbols": 200.0,
            "chance": chance,
            "commit": "c",
        }
        for scheme, task, seed, length, exact in rows
    ]
    frame = pd.DataFrame(made).astype({"exact": float, "right": float})
    return accuracy.with_intervals(frame).reindex(columns=accuracy.COLUMNS)


MEASURED = table(
    ("rope", "copy", 0, 10, 100),
    ("rope", "copy", 0, 20, 40),
    ("rope", "copy", 1, 20, 60),
    ("rope", "copy", 0, 40, 0),
    ("rope", "s5", 0, 20, 90),
    ("fire", "copy", 0, 10, 0),
    ("fire", "copy", 0, 20, 80),
    ("fire", "copy", 0, 40, 20),
    ("fire", "s5", 0, 20, 10),
    ("none", "copy", 0, 10, 0),
    ("none", "copy", 0, 20, None),
    ("none", "copy", 0, 40, 0),
    ("none", "s5", 0, 20, 10),
)


def test_with_intervals_is_wilsons_on_effective_symbols():
    """Wilson's interval of 80 of 100, and of 160 of 200 moved to the scale of a guess of 0.2."""
    row = table(("rope", "copy", 0, 20, 80)).iloc[0]
    assert row.exact_match == 0.8
    assert (row.exact_match_low, row.exact_match_high) == pytest.approx((0.7112, 0.8666), abs=1e-4)
    assert row.token_accuracy == 0.8
    assert row.normalized_accuracy == pytest.approx(0.75)
    low, high = 0.7392, 0.8495
    expected = ((low - 0.2) / 0.8, (high - 0.2) / 0.8)
    found = (row.normalized_accuracy_low, row.normalized_accuracy_high)
    assert found == pytest.approx(expected, abs=1e-4)


def test_summary_averages_seeds_then_lengths_then_tasks():
    """Copy: rope (0.5 + 0) / 2, fire (0.8 + 0.2) / 2, none 0, undefined or measured."""
    found = summary(MEASURED, "exact", None).droplevel(["extend", "factor"])
    assert found["copy"].to_dict() == {"rope": 0.25, "fire": 0.5, "none": 0.0}
    assert found["s5"].to_dict() == {"rope": 0.9, "fire": 0.1, "none": 0.1}
    assert found["mean"].to_dict() == pytest.approx({"rope": 0.575, "fire": 0.3, "none": 0.05})
    assert found["seeds"].to_dict() == {"rope": 1, "fire": 1, "none": 1}


def test_summary_ranks_within_each_task_and_length():
    """Ranks of rope 2, 2.5, 1, of fire 1, 1, 2.5 and of none 3, 2.5, 2.5: ties share their mean."""
    found = summary(MEASURED, "exact", None).droplevel(["extend", "factor"]).mrr.to_dict()
    assert found == pytest.approx(
        {
            "rope": (1 / 2 + 1 / 2.5 + 1) / 3,
            "fire": (1 + 1 + 1 / 2.5) / 3,
            "none": (1 / 3 + 1 / 2.5 + 1 / 2.5) / 3,
        }
    )
    assert list(found) == ["fire", "rope", "none"]


def test_summary_at_some_multiples():
    found = summary(MEASURED, "exact", [1.0]).droplevel(["extend", "factor"])
    assert found["copy"].to_dict() == {"rope": 1, "fire": 0, "none": 0}
    assert found.mrr.to_dict() == pytest.approx({"rope": 1, "fire": 0.4, "none": 0.4})
    with pytest.raises(PosextError, match=r"no multiple \[3\.0\] was measured.* 1, 2, 4"):
        summary(MEASURED, "exact", [3.0])
    with pytest.raises(PosextError, match=r"no length beyond training was measured.* only 1$"):
        summary(MEASURED.loc[MEASURED.length == 10], "exact", None)


def test_summary_leaves_out_what_few_schemes_have(caplog):
    rows = MEASURED.loc[(MEASURED.scheme == "rope") | (MEASURED.task != "s5")]
    found = summary(rows, "exact", None)
    assert "few schemes were measured on s5" in caplog.text
    assert list(found) == ["copy", "mean", "mrr", "seeds"]


def test_summary_ranks_no_scheme_that_lacks_a_task():
    rows = MEASURED.loc[(MEASURED.scheme != "none") | (MEASURED.task != "s5")]
    found = summary(rows, "exact", None).droplevel(["extend", "factor"])
    both = summary(MEASURED.loc[MEASURED.scheme != "none"], "exact", None)
    both = both.droplevel(["extend", "factor"])
    assert found.loc[["rope", "fire"], "mrr"].to_dict() == both.mrr.to_dict()
    assert list(found.index)[-1] == "none"
    assert found.loc["none", ["s5", "mean", "mrr"]].isna().all()
    assert found.loc["none", "copy"] == 0
    assert " nan " not in summary_table(summary(rows, "exact", None))


def test_summary_keeps_extensions_apart():
    extended = MEASURED.loc[MEASURED.scheme == "rope"].assign(extend="yarn", factor="8")
    found = summary_table(summary(pd.concat([MEASURED, extended]), "exact", [2.0]))
    assert "rope → yarn" in found
    assert found.count("rope") == 2


def test_reciprocal_ranks_of_equal_rows_share_the_mean_rank():
    means = pd.DataFrame({"a": [0.5, 0.5, 0.5], "b": [0.1, 0.3, 0.2]})
    assert reciprocal_ranks(means).a.tolist() == [0.5] * 3
    assert reciprocal_ranks(means).b.tolist() == pytest.approx([1 / 3, 1, 1 / 2])


def test_summary_refuses_two_runs_of_one_seed():
    other = table(("rope", "copy", 0, 20, 0)).assign(run="rope-copy-0-wider")
    rows = pd.concat([MEASURED, other], ignore_index=True)
    with pytest.raises(PosextError, match="rope on copy has two runs of seed 0"):
        summary(rows, "exact", None)


def test_accuracy_file_keeps_all_numbers(tmp_path):
    MEASURED.to_csv(tmp_path / accuracy.FILE, index=False)
    pd.testing.assert_frame_equal(
        accuracy.of_runs([tmp_path]), MEASURED, check_dtype=False, rtol=1e-12
    )
    twice = accuracy.of_runs([tmp_path, tmp_path / accuracy.FILE])
    assert len(twice) == len(MEASURED)  # one of them is a copy
    assert not len(accuracy.read_accuracy(tmp_path / "none.csv"))


def test_read_accuracy_refuses_other_files(tmp_path):
    (tmp_path / "curves.csv").write_text("run,scheme\na,rope\n")
    with pytest.raises(PosextError, match="no file of accuracies: it has no column chance"):
        accuracy.read_accuracy(tmp_path / "curves.csv")
    with pytest.raises(PosextError, match="none of these holds accuracies"):
        accuracy.of_runs([tmp_path])


def test_accuracy_table_has_intervals_and_gaps():
    text = accuracy_table(MEASURED.loc[MEASURED.scheme == "none"])
    lines = [line.split() for line in text.splitlines()[2:]]
    assert lines[0] == "copy none 10 0.000 [0.000, 0.037] -0.250 [-0.250, -0.226]".split()
    assert lines[1] == ["copy", "none", "20"]


def test_normalized_accuracy_is_linear_in_token_accuracy():
    rows = table(*(("rope", "copy", 0, 20, exact) for exact in (20, 60, 100)))
    assert rows.normalized_accuracy.tolist() == pytest.approx([0, 0.5, 1])
    assert np.all(rows.normalized_accuracy_low <= rows.normalized_accuracy + 1e-12)


def test_normalized_accuracy_is_undefined_where_a_guess_makes_no_error():
    """Sorting all numbers that there are: a gap in the table, and left out of its summary alone."""
    certain = table(*(("rope", "sorting", seed, 160, 100 - seed) for seed in (0, 1)), chance=1.0)
    assert certain[accuracy.NORMALIZED].isna().all(axis=None)
    cells = accuracy_table(certain).splitlines()[2].split()
    assert cells == "sorting rope 160 1.000 [0.963, 1.000]".split()
    rows = pd.concat([certain, table(("rope", "sorting", 0, 20, 60))], ignore_index=True)
    assert summary(rows, "normalized", None).sorting.tolist() == pytest.approx([0.5])
    assert summary(rows, "exact", None).sorting.tolist() == pytest.approx([(0.995 + 0.6) / 2])
