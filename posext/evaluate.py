"""Measure a run: the same targets at growing context lengths, as trained or extended.

python -m posext.evaluate run=results/runs/NAME [+pe@extend=yarn extend.factor=8]
python -m posext.evaluate model=hf model.path=FOLDER_OR_ID [+pe@extend=yarn extend.factor=8]
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from accelerate import PartialState
from omegaconf import DictConfig

from posext import hf
from posext.analysis import curves, retrieval
from posext.cli import app
from posext.config import OWN, RETRIEVAL, EvaluateConfig, TrainConfig, check_lengths
from posext.data import dataset
from posext.eval import bayes_floor
from posext.eval.cache import MEASURING, EvalCache
from posext.eval.corpora import describe, law_of, plans_of
from posext.eval.curve import EvalPlan, context_lengths, measure_curve
from posext.eval.retrieval.grid import measure_retrieval
from posext.eval.variants import OWN_WINDOW, variants
from posext.report.write import factor_text, write_curve, write_outputs, write_retrieval
from posext.runs.command_log import record_command
from posext.runs.inheritance import with_settings_of_weights
from posext.runs.lock import run_lock
from posext.runs.naming import kept_folder
from posext.runs.run import Run
from posext.training import device
from posext.utils.errors import PosextError

CHECKPOINT = "model=hf model.path=FOLDER_OR_ID"
CHECKPOINT_KEYS = ("model", "data", "train_length", "name")  # settings of a checkpoint alone


class Extension(NamedTuple):
    """A config whose scheme replaces the one that a run was trained with, and its display name."""

    config: TrainConfig
    name: str


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
        tokens = tokens or dataset.load_data(run.config.data, main)
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


def named_run(config: EvaluateConfig, given: dict[str, str]) -> tuple[Run, dataset.Data | None]:
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


def extended(run: Run, config: EvaluateConfig, given: dict[str, str]) -> Extension | None:
    """Replace the scheme and modifiers of a run's config by those of `config`.

    Settings that belong to the weights (a rotary base) are inherited unless typed. The name
    contains the typed settings, except the factor.

    Returns:
        The extension; None if `config` has neither a scheme nor modifiers.

    Raises:
        PosextError: The scheme is of another family than the run's, so it cannot use the weights.
    """
    chosen: dict[str, Any] = {
        group: getattr(config, group) for group in ("window", "attention_scale")
    }
    changes = {group: settings for group, settings in chosen.items() if settings is not None}
    trained = run.scheme()
    if config.extend is not None:
        own = {key.removeprefix("extend.") for key in given if key.startswith("extend.")}
        changes = {"pe": with_settings_of_weights(config.extend, run, own), **changes}
    if not changes:
        return None
    replaced = dataclasses.replace(run.config, **changes)
    family = run.scheme(replaced).family
    if family not in (trained.family, "none"):
        raise PosextError(
            f"{replaced.pe['name']} ({family}) cannot extend a run of "
            f"{run.config.pe['name']} ({trained.family}): "
            f"choose a scheme of the family {trained.family}, or none"
        )
    names = [display_name(group, changes[group]["name"], given) for group in changes]
    return Extension(replaced, "+".join(names))


def display_name(group: str, name: str, given: dict[str, str]) -> str:
    """Return a choice with the user's settings: yarn, or yarn(beta_fast=4)."""
    prefix = "extend." if group == "pe" else f"{group}."
    typed = [
        f"{key.removeprefix(prefix)}={value}"
        for key, value in given.items()
        if key.startswith(prefix) and key != f"{prefix}factor"
    ]
    return f"{name}({' '.join(typed)})" if typed else name


def measure_run(
    run: Run,
    tokens: dataset.Data,
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
        The rows of curves.csv that were measured; none off the main process.

    Raises:
        PosextError: The run was trained on other data, or a corpus cannot be measured.
    """
    accelerator = device.accelerator(run.config.precision)
    metadata = run.metadata()
    if metadata["data"] != tokens.fingerprint:
        raise PosextError(
            f"{run.folder} was trained on other data ({metadata['data']}, now {tokens.fingerprint})"
        )
    main = accelerator.is_main_process
    plans = plans or plans_of(run, tokens, main)
    if main:
        for sentence in describe(run, tokens, plans):
            print(sentence)
    precision = accelerator.mixed_precision
    cache = EvalCache(run.folder / MEASURING, main, record=metadata, precision=precision)
    own = next((plan for plan in plans if plan.corpus == OWN), plans[0])  # of retrieval, if any
    curve_rows = []
    retrieval_rows = []
    measured_config = extension.config if extension else run.config
    for config in variants(run, measured_config, plans[0].lengths[-1]):
        model = run.network(config, tokens.vocab_size).to(accelerator.device).eval()
        name = extension_name(run, config, extension)
        factor = factor_text(config.pe.get("factor", ""))
        for plan in plans:
            sums, costs = measure_curve(model, plan, config, accelerator, cache)
            if main:
                curve_rows.append(write_curve(run, plan, factor, name, sums, costs))
        answers = measure_retrieval(
            model, own, run.config.protocols, config.evaluation, accelerator
        )
        if main:
            retrieval_rows.append(
                write_retrieval(run.folder, answers, name, factor, run.trained_length, run.name)
            )
    if not main:
        return pd.DataFrame(columns=curves.COLUMNS)
    for plan in plans:
        if plan.protocols and (law := law_of(run, plan)):
            floor = bayes_floor.measure_floor(plan, law)
            curve_rows.append(write_curve(run, plan, "", bayes_floor.FLOOR, *floor))
    measured_rows = pd.concat(curve_rows, ignore_index=True)
    if bayes_floor.has_bayes_floor(run.config.data):
        own_rows = measured_rows.loc[measured_rows.corpus == OWN]
        bayes_floor.warn_if_far(own_rows, run.config.data.symbols)
    if arguments is not None:
        record_command(run.folder, "evaluate", arguments)
    write_outputs(run, measured_rows, pd.concat(retrieval_rows, ignore_index=True), wandb_run)
    cache.drop()
    return measured_rows


def extension_name(run: Run, config: TrainConfig, extension: Extension | None) -> str:
    """Return the name of a measured config in the column `extend`: empty as trained."""
    if extension:
        return extension.name
    if config.window != run.config.window:
        return OWN_WINDOW
    return "" if config == run.config else config.pe["name"]


def is_measured(run: Run) -> bool:
    """Return whether curves.csv has all that `measure_run` would write; a sweep skips it then."""
    rows = curves.read_curves(run.folder / "curves.csv")
    measured = variants(run, run.config, context_lengths(run)[-1])
    extensions = {extension_name(run, config, None) for config in measured}
    if retrieval.due(run.folder, run.config.protocols):
        return False
    if not set(run.config.protocols) - set(RETRIEVAL):
        return True
    if bayes_floor.has_bayes_floor(run.config.data):
        extensions.add(bayes_floor.FLOOR)
    of_corpora = [rows.loc[rows.corpus == name] for name in run.config.evaluation.corpora()]
    return not (run.folder / MEASURING).exists() and all(
        extensions <= set(of_corpus.extend)
        and set(run.config.protocols) <= set(of_corpus.protocol) | set(RETRIEVAL)
        and set(context_lengths(run)) <= set(of_corpus.context_length)
        for of_corpus in of_corpora
    )


def run_evaluation(composed: DictConfig) -> None:
    """Measure what a composed config names."""
    evaluate(app.typed(composed), app.given(), app.arguments())


def main() -> None:
    """Run the command posext-evaluate."""
    app.entry("evaluate", run_evaluation)


if __name__ == "__main__":
    main()
