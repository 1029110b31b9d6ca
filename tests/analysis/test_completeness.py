"""Whether the folder of a run has all that a measurement is to leave there."""

from dataclasses import replace

import pandas as pd
import pytest
from helpers.composed import composed
from helpers.stored_runs import LENGTHS, RISES, write_run

from posext.analysis import attention, curves, retrieval
from posext.analysis.completeness import is_measured
from posext.eval.cache import MEASURING
from posext.eval.extension import Extension
from posext.eval.retrieval.measure import CELL_COLUMNS
from posext.pe import settings_of
from posext.runs.run import Run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run measured as trained and under yarn, that lacks the longest length of far_copy."""
    monkeypatch.setitem(RISES, "yarn", RISES["rope"])
    folder = write_run(tmp_path / "mine")
    for protocol in ("far_copy", "per_position"):
        write_run(folder, protocol=protocol)
    for factor in ("auto", "4", "8"):
        write_run(folder, extend="yarn", factor=factor)
    rows = curves.read_curves(folder / "curves.csv")
    longest = rows.context_length == LENGTHS[-1]
    rows = rows.loc[~(longest & rows.protocol.isin(["far_copy", "per_position"]))]
    rows.to_csv(folder / "curves.csv", index=False)
    return Run(folder, composed("+pe=rope", "train_length=16"))


def asked(run: Run, *protocols: str, lengths=LENGTHS, **evaluation) -> Run:
    """The run with settings of a measurement."""
    settings = replace(run.config.evaluation, **evaluation)
    config = replace(
        run.config, protocols=list(protocols), context_lengths=lengths, evaluation=settings
    )
    return replace(run, config=config)


def under_yarn(run: Run, factor: float | str) -> Extension:
    pe = {**settings_of("pe", "yarn"), "factor": factor}
    return Extension(replace(run.config, pe=pe), "yarn")


def test_run_is_measured_with_every_length_of_what_was_asked_for(run):
    assert is_measured(asked(run, "fixed_target"))
    assert not is_measured(asked(run, "fixed_target", lengths=[*LENGTHS, 128]))


def test_run_is_not_measured_if_one_protocol_lacks_a_length_that_another_has(run):
    assert is_measured(asked(run, "fixed_target", "far_copy", lengths=LENGTHS[:-1]))
    assert not is_measured(asked(run, "fixed_target", "far_copy"))


def test_protocol_that_does_not_compare_lengths_may_lack_some(run):
    assert is_measured(asked(run, "per_position"))


def test_run_is_not_measured_if_an_extension_lacks_a_protocol(run):
    run = asked(run, "fixed_target")
    assert is_measured(run, under_yarn(run, "auto"))
    run = asked(run, "per_position")
    assert not is_measured(run, under_yarn(run, "auto"))


def test_run_is_not_measured_with_another_factor(run):
    run = asked(run, "fixed_target")
    assert is_measured(run, under_yarn(run, 8.0))
    assert not is_measured(run, under_yarn(run, 2.0))


def test_run_is_not_measured_without_the_fixed_factor_that_goes_with_a_matched_one(run):
    rows = curves.read_curves(run.folder / "curves.csv")
    rows.loc[rows.factor != "4"].to_csv(run.folder / "curves.csv", index=False)
    run = asked(run, "fixed_target")
    assert not is_measured(run, under_yarn(run, "auto"))


def test_run_under_a_window_is_measured_without_its_own_window(run):
    """That control is of the run as trained alone."""
    run = asked(run, "fixed_target", own_window=True)
    assert is_measured(run, under_yarn(run, "auto"))
    assert not is_measured(run)


def test_attention_of_other_lengths_is_not_measured(run):
    run = asked(run, "attention", lengths=LENGTHS[:2])
    assert not is_measured(run)
    columns = {"run": "mine", "extend": "", "factor": "", "metric": "entropy"}
    rows = pd.DataFrame([{**columns, "context_length": length} for length in LENGTHS[:2]])
    attention.write_attention(rows, run.folder / attention.FILE)
    assert is_measured(run)
    assert not is_measured(asked(run, "attention"))


def test_retrieval_lacks_no_length_that_is_too_short_for_the_task(run):
    run = asked(run, "retrieval", lengths=[2, 256, 512])
    assert not is_measured(run)
    columns = dict.fromkeys(CELL_COLUMNS, 1) | {"extend": "", "factor": ""}
    rows = [{**columns, "task": "retrieval", "context_length": length} for length in (256, 512)]
    pd.DataFrame(rows).to_csv(run.folder / retrieval.FILE, index=False)
    assert is_measured(run)
    assert not is_measured(asked(run, "retrieval", "multi_key", lengths=[256]))
    assert not is_measured(asked(run, "retrieval", lengths=[256, 1024]))


def test_run_is_not_measured_without_a_corpus(run):
    other = {"name": "other", "source": "markov"}
    assert not is_measured(asked(run, "fixed_target", data=["own", other]))


def test_run_is_not_measured_while_a_measurement_is_cut_off(run):
    (run.folder / MEASURING).mkdir()
    assert not is_measured(asked(run, "fixed_target"))
