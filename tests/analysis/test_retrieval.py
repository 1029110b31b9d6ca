"""Retrieval files: new rows replace old ones of the same extension."""

import pandas as pd

from posext.analysis import retrieval


def test_upsert_retrieval_replaces_rows_of_one_extension():
    cell = dict.fromkeys(retrieval.RETRIEVAL_COLUMNS, 1)
    cell |= {"condition": "needle", "task": "retrieval"}
    before = pd.DataFrame([cell | {"extend": e, "factor": f} for e, f in (("", ""), ("yarn", "4"))])
    rows = pd.DataFrame([cell | {"extend": "yarn", "factor": "4", "correct": 9}])
    assert retrieval.upsert_retrieval(before, rows).correct.tolist() == [1, 9]


def test_of_runs_and_over_trials_add_up_seeds(tmp_path):
    cell = dict.fromkeys(retrieval.RETRIEVAL_COLUMNS, 1)
    cell |= {"condition": "needle", "task": "retrieval", "extend": "", "factor": "", "trials": 8}
    runs = []
    for seed, correct in ((0, 8), (1, 2)):
        folder = tmp_path / f"rope-{seed}"
        folder.mkdir()
        pd.DataFrame([cell | {"correct": correct}]).to_csv(folder / retrieval.FILE, index=False)
        runs.append({"run": folder.name, "scheme": "rope", "seed": seed, "trained_length": 64})
    rows = retrieval.of_runs([*tmp_path.iterdir()], pd.DataFrame(runs * 2))
    assert sorted(zip(rows.seed, rows.correct, strict=True)) == [(0, 8), (1, 2)]
    summed = retrieval.over_trials(rows, ["scheme", "context_length", "depth"])
    assert summed.loc[:, ["trials", "correct", "accuracy"]].values.tolist() == [[16, 10, 0.625]]


def test_due_asks_of_every_extension(tmp_path):
    cell = dict.fromkeys(retrieval.RETRIEVAL_COLUMNS, 1) | {"context_length": 256}
    cell |= {"condition": "needle", "task": "retrieval", "extend": "yarn", "factor": "auto"}
    pd.DataFrame([cell]).to_csv(tmp_path / retrieval.FILE, index=False)
    yarn = {("yarn", "auto", 256)}
    assert not retrieval.due(tmp_path, ["fixed_target", "retrieval"], yarn)
    assert retrieval.due(tmp_path, ["retrieval"], {("", "", 256)}), (
        "an extension alone was measured"
    )
    assert retrieval.due(tmp_path, ["retrieval", "multi_key"], yarn)
    assert not retrieval.due(tmp_path, ["fixed_target"], {("", "", 256)})
