"""Whether the folder of a run has all that a measurement is to leave there."""

import pytest
from helpers.composed import composed
from helpers.stored_runs import LENGTHS, RISES, write_run

from posext.analysis import curves
from posext.analysis.completeness import is_complete
from posext.eval.cache import MEASURING
from posext.runs.run import Run

OWN = ["own"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run measured as trained and under yarn 4, that lacks the longest length of far_copy."""
    monkeypatch.setitem(RISES, "yarn", RISES["rope"])
    folder = write_run(tmp_path / "mine")
    for protocol in ("far_copy", "per_position"):
        write_run(folder, protocol=protocol)
    write_run(folder, extend="yarn")
    rows = curves.read_curves(folder / "curves.csv")
    rows.loc[rows.extend == "yarn", "factor"] = "4"
    longest = rows.context_length == LENGTHS[-1]
    rows = rows.loc[~(longest & rows.protocol.isin(["far_copy", "per_position"]))]
    rows.to_csv(folder / "curves.csv", index=False)
    return Run(folder, composed("+pe=rope"))


def test_run_is_complete_with_every_length_of_what_was_asked_for(run):
    assert is_complete(run, {""}, ["fixed_target"], OWN, LENGTHS)
    assert not is_complete(run, {""}, ["fixed_target"], OWN, [*LENGTHS, 128])


def test_run_is_not_complete_if_one_protocol_lacks_a_length_that_another_has(run):
    assert is_complete(run, {""}, ["fixed_target", "far_copy"], OWN, LENGTHS[:-1])
    assert not is_complete(run, {""}, ["fixed_target", "far_copy"], OWN, LENGTHS)


def test_protocol_that_does_not_compare_lengths_may_lack_some(run):
    assert is_complete(run, {""}, ["per_position"], OWN, LENGTHS)


def test_run_is_not_complete_if_an_extension_lacks_a_protocol(run):
    assert is_complete(run, {"", "yarn"}, ["fixed_target"], OWN, LENGTHS)
    assert not is_complete(run, {"", "yarn"}, ["per_position"], OWN, LENGTHS)


def test_run_is_not_complete_with_another_factor(run):
    assert is_complete(run, {"yarn"}, ["fixed_target"], OWN, LENGTHS, factor="4")
    assert not is_complete(run, {"yarn"}, ["fixed_target"], OWN, LENGTHS, factor="8")


@pytest.mark.parametrize("missing", ["attention", "retrieval"])
def test_run_is_not_complete_without_what_makes_no_curve(run, missing):
    assert not is_complete(run, {""}, ["fixed_target", missing], OWN, LENGTHS)


def test_run_is_not_complete_without_a_corpus(run):
    assert not is_complete(run, {""}, ["fixed_target"], ["own", "pg19"], LENGTHS)


def test_run_is_not_complete_while_a_measurement_is_cut_off(run):
    (run.folder / MEASURING).mkdir()
    assert not is_complete(run, {""}, ["fixed_target"], OWN, LENGTHS)
