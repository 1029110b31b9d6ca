"""Measure a run: the same targets at growing context lengths, as trained or extended.

python -m posext.evaluate run=results/runs/NAME [+pe@extend=yarn extend.factor=8]
python -m posext.evaluate model=hf model.path=FOLDER_OR_ID [+pe@extend=yarn extend.factor=8]
"""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import PartialState
from omegaconf import DictConfig

from posext import hf
from posext.analysis import curves
from posext.cli import app
from posext.config import KEY_TOKENS, OWN, EvaluateConfig, check_lengths
from posext.data.algorithmic.corpus import TaskCorpus
from posext.data.batch import Corpus, load
from posext.eval import bayes_floor
from posext.eval.attention.measure import measure_attention
from posext.eval.cache import MEASURING, EvalCache
from posext.eval.corpora import describe, law_of, plans_of
from posext.eval.curve import EvalPlan, context_lengths, measure_curve
from posext.eval.extension import Extension, extended, extension_name, factor_text
from posext.eval.retrieval.grid import measure_retrieval
from posext.eval.variants import variants
from posext.hf.judge import judge_of
from posext.report import write, write_beside_curves
from posext.report.write_accuracy import measure_task
from posext.runs.command_log import record_command
from posext.runs.lock import run_lock
from posext.runs.naming import kept_folder
from posext.runs.run import Run
from posext.training import device
from posext.utils.errors import PosextError

CHECKPOINT = "model=hf model.path=FOLDER_OR_ID"
CHECKPOINT_KEYS = ("model", "data", "train_length", "name")  # settings of a checkpoint alone


def evaluate(
    config: EvaluateConfig, given: dict[str, str], arguments: list[str] | None = None
) -> Run:
    """Measure a finished run, or a checkpoint, with the settings of its own config.

    Args:
        config: The settings of this measurement.
        given: The settings that the user typed, by dotted key; these override the run's.
        arguments: What was typed, for the log of the run's commands; None from Python.

    Returns:
        The run as measured.

    Raises:
        PosextError: The run is not trained, a setting is invalid, or the scheme ends below the
            shortest context length.
    """
    check_lengths(config.context_lengths)
    run, tokens = named_run(config, given)
    if not run.trained:
        raise PosextError(
            f"{run.folder} is not trained to its end yet: run its training command again"
        )
    run = with_settings(run, config, given)
    run.config.check()
    extension = extended(run, config, given)
    measured_config = extension.config if extension else run.config
    end = run.scheme(measured_config).max_length
    shortest = context_lengths(run)[0]
    if end is not None and end < shortest:
        raise PosextError(
            f"{measured_config.title()} ends at {end}, "
            f"below the shortest context length, {shortest}"
        )
    main = PartialState().is_main_process
    with run_lock(run, main):
        tokens = tokens or load(run.config.data, main)
        measure_run(run, tokens, extension, arguments=arguments)
    return run


def with_settings(run: Run, config: EvaluateConfig, given: dict[str, str]) -> Run:
    """Return the run with the settings that were typed in place of its own."""
    evaluation = {
        field.name: getattr(config.evaluation, field.name)
        for field in dataclasses.fields(config.evaluation)
        if f"evaluation.{field.name}" in given
    }
    changes: dict[str, Any] = {
        name: getattr(config, name)
        for name in ("context_lengths", "protocols", "precision")
        if name in given
    }
    changes["evaluation"] = dataclasses.replace(run.config.evaluation, **evaluation)
    changes["tracking"] = config.tracking
    return dataclasses.replace(run, config=dataclasses.replace(run.config, **changes))


def named_run(config: EvaluateConfig, given: dict[str, str]) -> tuple[Run, Corpus | None]:
    """Open the run, or prepare the checkpoint, that is named.

    The corpus of a checkpoint comes with it, as it is loaded already.

    Raises PosextError if neither is named, or for a setting that goes with the other one.
    """
    if config.run is not None:
        misplaced = [key for key in given if key.partition(".")[0] in CHECKPOINT_KEYS]
        if misplaced:
            raise PosextError(
                f"{misplaced[0]} goes with a checkpoint ({CHECKPOINT}); "
                f"run={config.run} has its own"
            )
        folder = Path(config.run)
        if config.checkpoint is not None:
            folder = kept_folder(folder, config.checkpoint)
        return hf.open_run(folder), None
    if (chosen := given.get("model", "hf")) != "hf":
        raise PosextError(
            f"model={chosen} is a network to train; measure run=results/runs/NAME, or {CHECKPOINT}"
        )
    if not config.model["path"]:
        raise PosextError(
            "name the run to measure: run=results/runs/NAME, "
            f"or a checkpoint of transformers: {CHECKPOINT}"
        )
    return hf.open_checkpoint(config)


def measure_run(
    run: Run,
    tokens: Corpus,
    extension: Extension | None = None,
    plans: list[EvalPlan] | None = None,
    wandb_run: Any = None,
    arguments: list[str] | None = None,
) -> pd.DataFrame:
    """Measure one scheme on a run's weights and write curves, charts and page.

    Variants of a scheme are measured with it: see `posext.eval.variants`.

    Args:
        run: A trained run.
        tokens: Its corpus.
        extension: The scheme to measure; None for the one of the run.
        plans: The plans of what to measure, if they were made already.
        wandb_run: The wandb run that training left open; it receives the curve and is finished.
        arguments: What was typed to measure it, for the log of the run's commands.

    Returns:
        The rows of curves.csv that were measured, or of accuracy.csv; none off the main process.

    Raises:
        PosextError: The run was trained on other data, or a corpus cannot be measured.
    """
    metadata = run.metadata()
    if metadata["data"] != tokens.fingerprint:
        raise PosextError(
            f"{run.folder} was trained on other data ({metadata['data']}, now {tokens.fingerprint})"
        )
    measured_config = extension.config if extension else run.config
    if isinstance(tokens, TaskCorpus):
        configs = variants(run, measured_config, context_lengths(run)[-1])
        named = [(config, extension_name(run, config, extension)) for config in configs]
        return measure_task(run, tokens, named, wandb_run, arguments)
    main = PartialState().is_main_process
    judge = None
    if KEY_TOKENS in run.config.protocols:
        score, judge = judge_of(run, tokens)
        plans = plans_of(run, tokens, main, score)
    plans = plans or plans_of(run, tokens, main)
    if main:
        for sentence in describe(run, tokens, plans):
            print(sentence)
    accelerator = device.accelerator(run.config.precision)
    precision = accelerator.mixed_precision
    cache = EvalCache(run.folder / MEASURING, main, record=metadata, precision=precision)
    # of what makes no curve
    own = next((plan for plan in plans if plan.corpus == OWN), plans[0])
    curve_rows = []
    retrieval_rows = []
    attention_rows = []
    names = run.config.protocols
    for config in variants(run, measured_config, own.lengths[-1]):
        model = run.network(config, tokens.vocab_size).to(accelerator.device).eval()
        name = extension_name(run, config, extension)
        factor = factor_text(config.pe.get("factor", ""))
        # first, as it is quick and some models have no attention to look at
        looks = measure_attention(
            model, own, names, config.evaluation, run.trained_length, accelerator
        )
        for plan in plans:
            measured = measure_curve(model, plan, config, accelerator, cache)
            if main:
                curve_rows.append(write.write_curve(run, plan, factor, name, *measured))
        answers = measure_retrieval(model, own, names, config.evaluation, accelerator)
        if main:
            retrieval_rows.append(
                write_beside_curves.write_retrieval(
                    run.folder, answers, name, factor, run.trained_length, run.name
                )
            )
            attention_rows.append(write_beside_curves.write_attention(run, looks, name, factor))
    if not main:
        return pd.DataFrame(columns=curves.COLUMNS)
    if judge is not None and own.corpus == OWN and own.protocols:
        write_beside_curves.write_keys(run, own, judge)
    for plan in plans:
        if plan.protocols and (law := law_of(run, plan)):
            floor = bayes_floor.measure_floor(plan, law)
            curve_rows.append(write.write_curve(run, plan, "", bayes_floor.FLOOR, *floor))
    measured_rows = pd.concat(curve_rows, ignore_index=True)
    if bayes_floor.has_bayes_floor(run.config.data):
        own_rows = measured_rows.loc[measured_rows.corpus == OWN]
        bayes_floor.warn_if_far(own_rows, run.config.data.symbols)
    if arguments is not None:
        record_command(run.folder, "evaluate", arguments)
    answer_rows = pd.concat(retrieval_rows, ignore_index=True)
    look_rows = pd.concat(attention_rows, ignore_index=True)
    write.write_outputs(run, measured_rows, answer_rows, look_rows, wandb_run)
    cache.drop()
    return measured_rows


def run_evaluation(composed: DictConfig) -> None:
    """Measure what a composed config names."""
    evaluate(app.typed(composed), app.given(), app.arguments())


def main() -> None:
    """Run the command posext-evaluate."""
    app.entry("evaluate", run_evaluation)


if __name__ == "__main__":
    main()
