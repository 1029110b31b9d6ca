"""Claims about answers of retrieval tasks, on tables whose truth is known."""

import pandas as pd
import pytest
from helpers.claims import verdict_on
from helpers.pages import rows_of

from posext.analysis import retrieval
from posext.claims import stored
from posext.utils.errors import PosextError

FOUND = {("rope", ""): 2, ("rope", "yarn"): 9, ("alibi", ""): 5}  # of ten, at twice the length


@pytest.fixture
def results(tmp_path):
    """The folder of results with the study `mine`: trained at 64 tokens, measured to 128."""
    rows = []
    for (scheme, extend), correct in FOUND.items():
        for seed in range(4):
            for depth in (0.0, 1.0):
                near = row(scheme, extend, seed, 64, depth, 10)
                far = row(scheme, extend, seed, 128, depth, correct + (1 if depth else -1))
                control = row(scheme, extend, seed, 128, depth, 0) | {"condition": "control"}
                rows += [near, far, control]
                if extend:
                    rows.append(far | {"factor": "16", "correct": 0})
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "retrieval.csv", index=False)
    rows_of("rope", [3.0, 2.5, 2.6, 2.7]).to_csv(folder / "curves.csv", index=False)
    return tmp_path / "results"


def row(scheme, extend, seed, length, depth, correct):
    cells = dict.fromkeys([*retrieval.RUN_COLUMNS, *retrieval.RETRIEVAL_COLUMNS], "")
    cells |= {"run": f"{scheme}-{seed}", "scheme": scheme, "extend": extend, "seed": seed}
    cells |= {"factor": "auto" if extend else "", "task": "retrieval", "condition": "needle"}
    cells |= {"trained_length": 64, "context_length": length, "depth": depth, "distance": 9}
    return cells | {"trials": 10, "correct": correct, "nll": 1.0}


def on_answers(results, holds_if, protocol="retrieval", **more):
    return verdict_on(results, holds_if, protocols=f"[{protocol}]", **more)


YARN = {"curves": "{yarn: {scheme: rope, extend: yarn}}"}


@pytest.mark.parametrize(
    ("holds_if", "expected"),
    [
        ("found(yarn, 2x) > found(alibi, 2x)", "holds"),
        ("found(rope, 128) > found(alibi, 128)", "fails"),
        ("0.19 < found(rope, 2x) < 0.21 and found(rope, 1x) > 0.99", "holds"),  # over both depths
    ],
)
def test_verdict_is_of_the_answers_with_a_matched_factor(results, holds_if, expected):
    verdict = on_answers(results, holds_if, **YARN)
    assert verdict.text == expected
    assert verdict.results[0].scale.endswith("trained at 64 tokens")


def test_points_are_shares_by_length(results):
    answers = stored.open_stored(results / "mine", "retrieval")
    assert answers.points("yarn", {"scheme": "rope", "extend": "yarn"}) == {64: 1.0, 128: 0.9}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"holds_if": "nll(rope, 1x) < 2"}, "no answer: found takes"),
        ({"holds_if": "found(cope, 1x) < 2"}, "no such rows"),
        ({"holds_if": "found(rope, alibi) < 2"}, "'alibi' is no length"),
        ({"holds_if": "found(rope, 4x) < 2"}, "not measured at 4x, but at .64, 128. tokens"),
        ({"holds_if": "found(a, 1x) < 2", "curves": "{a: {colour: red}}"}, "no column 'colour'"),
        ({"holds_if": "found(rope, 1x) < 2", "protocol": "multi_key"}, "no answers of multi_key"),
        ({"holds_if": "found(rope, 1x) < 2", "study": "other"}, "no answers of retrieval"),
    ],
)
def test_claim_is_refused_with_its_name(results, more, said):
    with pytest.raises(PosextError, match=f"C1.*{said}"):
        on_answers(results, **more)
