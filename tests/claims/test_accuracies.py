"""Claims about accuracies on algorithmic tasks, on tables whose truth is known."""

import math

import pandas as pd
import pytest
from helpers.claims import verdict_on, write_claim

from posext.analysis import accuracy
from posext.claims import page, verdicts
from posext.utils.errors import PosextError

EXACT = {"rope": {"copy": 0.2, "parity": 0.1}, "none": {"copy": 0.8, "parity": 0.3}}


@pytest.fixture
def results(tmp_path):
    """The folder of results with the study `mine`: trained to 20 items, measured at 20 and 40."""
    rows = []
    for scheme, by_task in EXACT.items():
        for task, beyond in by_task.items():
            for seed in range(4):
                rows.append(row(scheme, task, seed, 20, 0.9 + 0.01 * seed))
                rows.append(row(scheme, task, seed, 40, beyond + 0.01 * seed))
    for seed in range(4):
        rows += [row("learned", task, seed, 20, 0.9) for task in ("copy", "parity")]
        rows += [row("learned", task, seed, 40, math.nan) for task in ("copy", "parity")]
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "accuracy.csv", index=False)
    return tmp_path / "results"


def row(scheme, task, seed, length, exact):
    cells = dict.fromkeys(accuracy.COLUMNS, "") | dict.fromkeys(accuracy.EXACT, exact)
    cells |= {"run": f"{scheme}-{task}-{seed}", "scheme": scheme, "model": "pico", "task": task}
    cells |= {"parameters": 1e5, "seed": seed, "trained_length": 20, "length": length}
    return cells | {"chance": 0.5 if task == "parity" else 1.0, "normalized_accuracy": exact / 2}


def on_tasks(results, holds_if, **more):
    return verdict_on(results, holds_if, protocols="[accuracy]", **more)


@pytest.mark.parametrize(
    ("holds_if", "expected"),
    [
        ("exact(none, 2x) > exact(rope, 2x)", "holds"),
        ("exact(rope, 2x) > exact(none, 40)", "fails"),
        ("0.54 < exact(none, 2x) < 0.59", "holds"),  # the mean of two tasks over seeds, 0.565
        ("0.14 < normalized(none, 2x) < 0.18", "holds"),  # parity alone, as copy has a chance of 1
        ("exact(learned, 2x) < 0.01 and exact(learned, 1x) > 0.8", "holds"),  # undefined is 0
        ("exact(rope, 1x) - exact(none, 1x) < 0.02", "holds"),
    ],
)
def test_verdict_is_what_was_drawn(results, holds_if, expected):
    assert on_tasks(results, holds_if).text == expected


def test_verdict_is_of_the_task_that_the_curve_names(results):
    curves = "{a: {scheme: rope, task: copy}, b: {scheme: rope, task: parity}}"
    verdict = on_tasks(results, "0.05 < exact(a, 2x) - exact(b, 2x) < 0.15", curves=curves)
    assert verdict.text == "holds"
    assert verdict.results[0].scale == "pico, 0.1M parameters, trained on up to 20 items"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"holds_if": "nll(rope, 1x) < 2"}, "no accuracy: exact, normalized take"),
        ({"holds_if": "exact(cope, 1x) < 2"}, "no such rows"),
        ({"holds_if": "exact(rope, 4x) < 2"}, "not measured at 4x"),
        ({"holds_if": "exact(a, 1x) < 2", "curves": "{a: {colour: red}}"}, "no column 'colour'"),
        ({"holds_if": "exact(rope, 1x) < 2", "study": "other"}, "holds no accuracies"),
    ],
)
def test_claim_is_refused_with_its_name(results, more, said):
    with pytest.raises(PosextError, match=f"C1.*{said}"):
        on_tasks(results, **more)


def test_seeds_that_lack_a_task_are_refused(results):
    file = results / "mine" / "accuracy.csv"
    table = pd.read_csv(file)
    table.loc[(table.task != "copy") | (table.seed > 0)].to_csv(file, index=False)
    with pytest.raises(PosextError, match="not every seed has every task"):
        on_tasks(results, "exact(none, 2x) > exact(rope, 2x)")


def test_page_draws_accuracies_by_length(results, tmp_path):
    made = write_claim(tmp_path, "C2", "exact(none, 2x) > exact(rope, 2x)", protocols="[accuracy]")
    decided = verdicts.verdicts(verdicts.decide([made], results))
    page.write(decided, results, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("<polyline") == 2
