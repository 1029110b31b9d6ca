"""The protocol `attention` from the command line to its files."""

from pathlib import Path

import pandas as pd
import pytest

from posext.analysis.attention import read_attention
from posext.cli import collect

MINE = Path("results/runs/mine")


def test_train_measures_attention_and_collect_carries_it(command, small, monkeypatch):
    settings = ["+pe=yarn", *small, "name=mine", "context_lengths=[8,16,64]"]
    settings.append("protocols=[fixed_target,attention]")
    code, out, err = command("train", *settings)
    assert code == 0, err
    assert "entropy / ln keys" in out
    rows = read_attention(MINE / "attention.csv")
    assert set(zip(rows.extend, rows.factor, strict=True)) == {
        ("", "auto"),
        ("yarn", "4"),
        ("rope", ""),
    }
    assert set(rows.run) == {"mine"}
    assert set(rows.context_length) == {8, 16, 64}
    assert set(rows.documents) == {8}
    assert (rows.dropna().low <= rows.dropna().value).all()
    assert (MINE / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert "Hidden direction" in (MINE / "report.html").read_text()
    # YaRN's temperature: (0.1 ln 4 + 1)^2 at 64 tokens
    factors = rows.loc[(rows.metric == "logit_multiplier") & (rows.extend == "")]
    assert factors.groupby("context_length").value.mean().round(3).to_dict() == {
        8: 1.0,
        16: 1.0,
        64: 1.296,
    }
    _, out, _ = command("train", *settings)
    assert "is done already" in out

    monkeypatch.setattr("sys.argv", ["collect", str(MINE), "--out", "study"])
    for _ in range(2):  # rows of a run replace its own
        collect.main()
    pd.testing.assert_frame_equal(read_attention("study/attention.csv"), rows)


def test_evaluate_adds_attention_to_a_run_that_is_done(command, small):
    assert command("train", "+pe=alibi", *small, "name=mine")[0] == 0
    assert not (MINE / "attention.csv").exists()
    before = (MINE / "report.html").read_text()
    typed = ["tracking.wandb=disabled", "protocols=[attention]", "evaluation.attention_documents=2"]
    code, out, err = command("evaluate", f"run={MINE}", *typed)
    assert code == 0, err
    assert "sink rate" in out
    assert set(read_attention(MINE / "attention.csv").documents) == {2}
    after = (MINE / "report.html").read_text()
    assert ("<h2>Attention</h2>" in after, "<h2>Attention</h2>" in before) == (True, False)


@pytest.mark.parametrize("kind", ["mamba2", "gated_deltanet"])
def test_train_refuses_attention_of_a_recurrence(command, small, kind):
    typed = ["+pe=none", *small, f"model.kind={kind}", "protocols=[fixed_target,attention]"]
    code, _, err = command("train", *typed)
    assert code == 2
    assert f"protocols=attention needs attention, and model.kind={kind} has none" in err
    assert not Path("results").exists()
