"""The measured costs that `posext schemes` shows."""

import sys

from posext.analysis import scheme_cost
from posext.cli import schemes
from posext.pe import names


def test_costs_hold_every_scheme_against_rope():
    costs = scheme_cost.costs()
    assert sorted(costs.index) == names()
    assert costs.cost["rope"] == costs.low["rope"] == costs.high["rope"] == 1
    assert (costs.low <= costs.cost).all()
    assert (costs.cost <= costs.high).all()


def test_costs_have_a_decimal_and_a_scheme_of_ones_own_has_none(tmp_path, monkeypatch):
    file = tmp_path / "costs.csv"
    file.write_text(
        "scheme,cost,low,high,setting,machine\nrope,1,1,1,a,b\ncope,1.449,1.4,1.5,a,b\n"
    )
    measured = scheme_cost.costs(file)
    monkeypatch.setattr(scheme_cost, "costs", lambda: measured)
    assert scheme_cost.cost_in_words("rope") == "1.0"
    assert scheme_cost.cost_in_words("cope") == "1.4"
    assert scheme_cost.cost_in_words("my_own") == ""


def test_schemes_are_listed_with_their_cost(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["posext schemes"])
    schemes.main()
    lines = capsys.readouterr().out.splitlines()
    assert "cost" in lines[0].split()
    row = next(line for line in lines if line.startswith("rope "))
    assert "1.0" in row.split()
    assert lines[-2].startswith("Cost: seconds of a training step over those of RoPE")
