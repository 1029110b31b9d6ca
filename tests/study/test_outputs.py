"""What a study puts into its folder: of which runs, kept steps and targets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import more_tokens
import pandas as pd
import pytest
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


@contextmanager
def killed_at_sums(monkeypatch) -> Iterator[None]:
    """Expect a kill in place of the first write of documents.parquet."""

    def killed(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", killed)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_leave_out_former_targets_keeps_the_last_of_each_run(tmp_path, monkeypatch):
    """A run whose folder another study measured before, on fewer documents; also after a kill."""
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
    with killed_at_sums(monkeypatch):
        outputs.leave_out_former_targets(tmp_path)
    outputs.leave_out_former_targets(tmp_path)
    kept = pd.read_csv(tmp_path / "curves.csv", keep_default_na=False)
    assert set(zip(kept.run, kept.extend, strict=True)) == {("r", ""), ("a", "")}
    left = pd.read_parquet(tmp_path / "documents.parquet")
    assert set(zip(left.run, left.extend, strict=True)) == {("r", ""), ("a", "")}


def test_leave_out_others_that_is_killed_is_made_good_by_the_next(tmp_path, monkeypatch):
    planned = SimpleNamespace(runs={Path("rope-seed0"): SimpleNamespace(evaluate=True)}, steps=[])
    losses = [2.0, 1.5, 1.6, 1.7]
    rows = pd.concat([rows_of("rope", losses, run=name) for name in ("rope-seed1", "former")])
    rows.to_csv(tmp_path / "curves.csv", index=False)
    rows.loc[:, ["run", "corpus"]].to_parquet(tmp_path / "documents.parquet")
    (tmp_path / "configs").mkdir()
    for name in ("rope-seed1", "former"):
        (tmp_path / "configs" / f"{name}.yaml").touch()
    with killed_at_sums(monkeypatch):
        outputs.leave_out_others(planned, tmp_path)
    outputs.leave_out_others(planned, tmp_path)
    assert set(pd.read_csv(tmp_path / "curves.csv").run) == {"rope-seed1"}
    assert set(pd.read_parquet(tmp_path / "documents.parquet").run) == {"rope-seed1"}
    assert [file.stem for file in (tmp_path / "configs").iterdir()] == ["rope-seed1"]


def test_more_tokens_tells_steps_of_a_run_from_runs_that_end_there(tmp_path):
    """The loss falls by 0.2 with each doubling, and rises by 0.1 at four times the length."""
    configs = tmp_path / "configs"
    configs.mkdir()
    frames = []
    for seed in range(3):
        for doublings, steps in enumerate((2, 4, 8)):
            for kept in (True, False):
                run = f"rope-{seed}-steps-8-step-{steps}" if kept else f"rope-{seed}-steps-{steps}"
                losses = [0, 5 - 0.2 * doublings + 0.01 * seed, 0, 5 + 0.1 * doublings]
                frames.append(rows_of("rope", losses, run=run, seed=seed))
                config = f"steps: {8 if kept else steps}\ntokens_per_step: 100\n"
                config += f"keep_every: {2 if kept else 'null'}\n"
                (configs / f"{run}.yaml").write_text(config)
    pd.concat(frames).to_csv(tmp_path / "curves.csv", index=False)
    rows = more_tokens.with_tokens(tmp_path)
    assert sorted(rows.tokens_seen.unique()) == [200, 400, 800]
    assert set(rows.way) == {more_tokens.ALONG, more_tokens.SEPARATE}
    by_seed = rows.loc[rows.way == more_tokens.ALONG].pivot_table(
        "nll", ["multiple", "seed"], "tokens_seen"
    )
    assert more_tokens.change(by_seed.loc[1], 400, 800).startswith("-0.200 [-0.200")
    assert more_tokens.change(by_seed.loc[4], 200, 800).startswith("+0.200 [+0.200")
