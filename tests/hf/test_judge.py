"""The judge of key tokens: the run itself, another run, or a checkpoint of transformers."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.untrained import untrained_run

from posext.analysis import curves, key_choice
from posext.cli import collect
from posext.config import EvaluationConfig, ModelConfig, TextData, TrackingConfig, TrainConfig
from posext.data import dataset
from posext.eval.curve import plan_of
from posext.eval.extension import Extension
from posext.evaluate import measure_run
from posext.hf.export import export
from posext.hf.judge import check_judge, judge_of, open_judge
from posext.pe import settings_of
from posext.report import page
from posext.runs.run import Run
from posext.utils.errors import PosextError

SHAPE = ModelConfig("test", n_layers=1, n_heads=2, d_model=16, d_ff=32, learning_rate=1e-3)
KEYS = {"key_alpha": 0.1, "key_beta": -9.0}  # random weights say little


@pytest.fixture
def make(corpus, tmp_path_factory):
    """Make a run with random weights that differ by seed."""

    def run_of(name: str, scheme: str = "rope", seed: int = 0, **settings) -> Run:
        data = TextData(
            path=str(corpus),
            tokenizer="bytes",
            cache=str(tmp_path_factory.getbasetemp() / "tokens"),
            validation_share=0.3,
        )
        config = TrainConfig(
            pe=settings_of("pe", scheme),
            model=SHAPE,
            learning_rate=1e-3,
            train_length=16,
            context_lengths=[16, 64],
            data=data,
            name=name,
            seed=seed,
            protocols=["fixed_target", "key_tokens"],
            evaluation=EvaluationConfig(documents=6, targets=16, bootstrap=20, **KEYS, **settings),
            tracking=TrackingConfig("disabled"),
            precision="fp32",
        )
        return untrained_run(config, SHAPE, std=0.2, seed=seed)

    return run_of


@pytest.fixture
def tokens(make):
    return dataset.load_data(make("tokens").config.data)


def judged_by(run: Run, path: Path | str) -> Run:
    evaluation = replace(run.config.evaluation, key_judge=str(path))
    return replace(run, config=replace(run.config, evaluation=evaluation))


def targets_of(run: Run) -> dict[str, str]:
    """The digest of each group of a run's targets."""
    rows = curves.read_curves(run.folder / "curves.csv")
    return dict(zip(rows.group, rows.targets, strict=True))


def counts_by_judge(run: Run, tokens: dataset.Data) -> Any:
    """What the judge of a run says of the targets, before anything is written."""
    return plan_of(run, tokens, judge=judge_of(run, tokens)[0]).protocols["key_tokens"].counts


def counts_of(run: Run) -> pd.DataFrame:
    return key_choice.read_key_counts(run.folder / "keys.csv")


def test_judge_chooses_the_same_keys_for_every_run(make, tokens, capsys, monkeypatch):
    """A page of runs with several judges leaves the keys out."""
    one, other = make("one"), make("other", "none", seed=1)
    folders = [one.folder, other.folder]
    for run in (one, other):
        measure_run(run, tokens)
    assert targets_of(one)["key"] != targets_of(other)["key"]
    assert set(counts_of(other).judge) == {"itself"}
    text = page.write_page(folders, Path("page.html")).read_text()
    assert "Key tokens are left out: " in text
    assert "<h2>Key tokens</h2>" not in text
    capsys.readouterr()
    measure_run(judged_by(other, one.folder), tokens)
    assert targets_of(one) == targets_of(other)
    counts = [counts_of(run).drop(columns=["run", "judge"]) for run in (one, other)]
    pd.testing.assert_frame_equal(*counts)
    assert counts[0]["keys"].sum() > 20
    assert set(counts_of(other).judge) == {str(one.folder)}
    assert f"other      {one.folder}" in capsys.readouterr().out
    text = page.write_page(folders, Path("page.html")).read_text()
    assert f"<tr><th>other<td>{one.folder}<td>" in text
    assert "<h2>Key tokens</h2>" in text
    monkeypatch.setattr("sys.argv", ["collect", *map(str, folders), "--out", "all"])
    collect.main()
    assert set(counts_of(replace(one, folder=Path("all"))).run) == {"one", "other"}


def test_judge_may_be_a_checkpoint(make, tokens):
    one, other = make("one"), make("other", seed=1)
    export(one, Path("exported"))
    by_run, by_checkpoint = (
        counts_by_judge(judged_by(other, path), tokens) for path in (one.folder, "exported")
    )
    pd.testing.assert_frame_equal(by_run, by_checkpoint, rtol=1e-4)


def test_judge_of_an_extension_is_the_run_as_trained(make, tokens):
    run = make("one")
    own = counts_by_judge(run, tokens)
    bare = replace(run.config, pe=settings_of("pe", "none"))
    measure_run(run, tokens, Extension(bare, "none"))
    pd.testing.assert_frame_equal(
        own.reset_index(drop=True), counts_of(run)[list(own.columns)], rtol=1e-6
    )


def copied(run: Run, changes: dict[str, str]) -> Path:
    """Copy a run with other texts in some of its files, or without those given as empty."""
    folder = Path(shutil.copytree(run.folder, "copy"))
    for name, text in changes.items():
        file = folder / f"{name}.json"
        file.write_text(text) if text else file.unlink()
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": ""}, "evaluation.key_judge=copy is not trained to its end yet"),
        ({"tokenizer": "{}"}, "copy has another tokenizer than mine"),
        (
            {"run": '{"parameters": 1, "data": "0"}'},
            "copy was trained on another corpus than mine, so it may have seen the held-out",
        ),
    ],
    ids=["untrained", "tokenizer", "corpus"],
)
def test_open_judge_refuses_runs_that_cannot_judge(make, tokens, changes, message):
    run = judged_by(make("mine"), copied(make("judge"), changes))
    with pytest.raises(PosextError, match=message):
        open_judge(run, tokens)


def test_open_judge_refuses_what_is_no_model(make, tokens):
    with pytest.raises(PosextError, match=r"evaluation.key_judge=no/such/thing is no folder, nor"):
        open_judge(judged_by(make("mine"), "no/such/thing"), tokens)


def test_check_judge_refuses_one_that_ends_below_the_longest_context(make, tokens):
    run = make("mine", "learned")
    with pytest.raises(PosextError, match="mine, ends at 16 tokens, below the longest context, 64"):
        check_judge(run, tokens)
    check_judge(replace(run, config=replace(run.config, protocols=["far_copy"])), tokens)


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ({"nll_long": 21.0}, "makes the judge of key_tokens (itself) worse, by 0.100 nats a token"),
        ({"keys": 0}, "no target is a key to the judge of key_tokens (itself)"),
        ({}, ""),
    ],
    ids=["worse", "none", "good"],
)
def test_warn_if_poor(sums, message, caplog):
    row = {"run": "a", "judge": "itself", "targets": 10, "keys": 3, "mirrored": 1, "far": 4}
    row |= {"far_keys": 2, "nll_long": 19.0, "nll_short": 20.0} | sums
    with caplog.at_level(logging.WARNING):
        key_choice.warn_if_poor(key_choice.key_choice(pd.DataFrame([row] * 3)))
    assert (message in caplog.text) if message else not caplog.text


def test_key_choice_is_in_shares_over_documents():
    counts = pd.DataFrame(
        {
            "run": "a",
            "judge": "itself",
            "targets": [10, 20, 10],
            "keys": [2, 6, 0],
            "mirrored": [1, 1, 2],  # the last where there are no keys
            "far": [3, 5, 2],
            "far_keys": [1, 5, 0],
            "nll_long": [10.0, 30.0, 10.0],
            "nll_short": [20.0, 30.0, 20.0],
        }
    )
    choice = key_choice.key_choice(counts)
    values = [number.value for number in choice[3:]]
    assert values == pytest.approx([8 / 40, 4 / 8, 6 / 8, 6 / 10, 10 / 40, 20 / 40])
    assert choice.share.low < 0.2 < choice.share.high
    assert choice.cells()[:4] == ["a", "itself", "8", key_choice.share_text(choice.share)]
    assert key_choice.share_text(choice.share).startswith("20.0% (")
