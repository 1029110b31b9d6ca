"""The page that says which scheme to use, on curves whose losses are known."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import stored_runs
from helpers.stored_runs import write_run

from posext.analysis.document_sums import read_stored
from posext.claims import decision

STEADY = "fire"  # as good as rope in range, up to noise, and flat


@pytest.fixture
def candidates(tmp_path, monkeypatch) -> dict[str, decision.Candidate]:
    """Schemes of three seeds: rope rises, alibi gains a little from far context."""
    monkeypatch.setitem(stored_runs.RISES, STEADY, [0.5, 0.0, 0.0, 0.0])
    made = {}
    for scheme in ("rope", "alibi", STEADY):
        folders = [write_run(tmp_path / f"{scheme}-{seed}", scheme, seed) for seed in range(3)]
        made[scheme] = decision.Candidate(read_stored(folders))
    return made


def test_lowest_names_the_lowest_and_those_that_are_level(candidates):
    text = decision.lowest(list(candidates.values()), 1)
    best, _, others = text.partition("; level: ")
    assert {best.split("**")[1], others} == {"rope", STEADY}


def test_lowest_at_a_multiple_says_how_far_it_is_from_its_own_training_length(candidates):
    text = decision.lowest([candidates["rope"], candidates["alibi"]], 4)
    assert text.startswith("**alibi** ")
    assert ", to its own 1x -0.05" in text
    assert "level" not in text


def test_users_are_those_below_their_own_loss_at_the_training_length(candidates):
    assert decision.users(list(candidates.values()), 2) == [candidates["alibi"]]
    assert decision.cells([candidates["rope"]], 2)[1] == "none uses it"
    assert decision.cells([candidates["alibi"]], 2)[1] == "the same"


def test_lowest_leaves_out_what_is_undefined_at_a_length(candidates):
    assert decision.lowest([candidates["alibi"]], 8) == "none was measured"
    assert decision.users([candidates["alibi"]], 8) == []


def test_candidates_are_told_apart_by_their_runs(tmp_path):
    """Runs of one scheme, trained by two recipes, are two candidates."""
    folders = []
    for recipe in ("tiny-64", "tiny-64-experiment-abf"):
        for seed in range(2):
            folder = tmp_path / f"rope-{recipe}-seed{seed}"
            folders.append(write_run(folder, "rope", seed))
    situation = decision.Situation("train", "mine", decision.is_from_scratch)
    plain, abf = decision.candidates_of(situation, read_stored(folders))
    assert (plain.label, abf.label) == ("rope", "rope (experiment abf)")
    assert sorted(plain.curves) == sorted(abf.curves) == [0, 1]


@pytest.mark.parametrize(
    ("is_candidate", "row"),
    [
        (decision.is_from_scratch, {}),
        (decision.is_in_stages, {"trained_length": 64}),
        (decision.is_zero_shot, {"extend": "yarn", "factor": "auto"}),
        (decision.is_continued, {"lineage": "rope → yarn, +200 steps at 64"}),
    ],
)
def test_situations_do_not_overlap(is_candidate, row):
    plain = {"scheme": "rope", "lineage": "", "extend": "", "factor": ""}
    lengths = {"original_length": 16, "trained_length": 16}
    row = SimpleNamespace(**{**plain, **lengths, **row})
    kinds = {each.is_candidate for each in decision.SITUATIONS}
    assert [each for each in kinds if each(row)] == [is_candidate]


def test_page_of_the_committed_results_is_the_one_that_is_committed():
    results = Path(__file__).resolve().parents[2] / "results"
    assert decision.page(results) == (results / "claims" / "decision.md").read_text()
