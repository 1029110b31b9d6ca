"""What a study puts into its folder: of which runs, kept steps and targets."""

import pandas as pd
from helpers.pages import rows_of

from posext.study import outputs, plan, progress, run, spec


def test_plan_measures_the_steps_that_a_run_keeps(tmp_path, small):
    common = " ".join([*small, "context_lengths=[8,16,32,64]"])
    text = (
        f"title: t\nseeds: [0]\ncommon: {common}\nparts:\n  kept:\n"
        "    train: [+pe=rope steps=4 keep_every=2]\n"
        "    evaluate: [run=rope-* checkpoint=2]\n"
    )
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(text)
    planned = plan.plan_of(spec.load("mine", [tmp_path]))
    (job,) = planned.steps[1].jobs
    (trained,) = planned.runs
    assert job.folder == trained / "kept" / f"{trained.name}-step-2"
    assert outputs.measured_folders(planned) == [trained, job.folder]
    steps = progress.progress_of(planned)
    assert [len(each.missing) for each in steps] == [1, 1], "nothing is there yet"
    typed = run.commands(planned.study, steps, [])[1]
    assert f"run={trained}" in typed
    assert "checkpoint=2" in typed


def test_leave_out_former_targets_keeps_the_last_of_each_run(tmp_path):
    """A run whose folder another study measured before, on fewer documents."""
    former = {"extend": "linear", "targets": "aaaa"}
    rows = pd.concat(
        [
            rows_of("rope", [2.0, 1.5, 1.6, 1.7], run="r", **former),
            rows_of("rope", [2.1, 1.6, 1.7, 1.8], run="r", targets="bbbb"),
            rows_of("alibi", [2.0, 1.4, 1.5, 1.6], run="a", targets="bbbb"),
        ]
    )
    rows.to_csv(tmp_path / "curves.csv", index=False)
    sums = rows.loc[:, ["run", "extend", "factor", "corpus", "protocol", "context_length"]]
    sums.to_parquet(tmp_path / "documents.parquet")
    outputs.leave_out_former_targets(tmp_path)
    kept = pd.read_csv(tmp_path / "curves.csv", keep_default_na=False)
    assert set(zip(kept.run, kept.extend, strict=True)) == {("r", ""), ("a", "")}
    left = pd.read_parquet(tmp_path / "documents.parquet")
    assert set(zip(left.run, left.extend, strict=True)) == {("r", ""), ("a", "")}
