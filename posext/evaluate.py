"""Measure a run: the same targets at growing context lengths, as trained or with another scheme on the same weights.

python -m posext.evaluate run=results/runs/NAME [+pe@extend=yarn extend.factor=8]
python -m posext.evaluate model=hf model.path=FOLDER_OR_ID [+pe@extend=yarn extend.factor=8]
"""

import dataclasses
from typing import Any, NamedTuple

import pandas as pd
from accelerate import PartialState
from omegaconf import DictConfig

from posext import hf
from posext.analysis import curves, retrieval
from posext.cli import app
from posext.config import RETRIEVAL, EvaluateConfig, TrainConfig, check_lengths
from posext.data import dataset
from posext.eval import bayes_floor
from posext.eval.cache import MEASURING, EvalCache
from posext.eval.curve import EvalPlan, context_lengths, measure_curve, plan_of
from posext.eval.retrieval.grid import measure_retrieval
from posext.report.write import write_curve, write_outputs, write_retrieval
from posext.runs.lock import run_lock
from posext.runs.run import Run
from posext.training import device
from posext.utils.errors import PosextError

CHECKPOINT = "model=hf model.path=FOLDER_OR_ID"


def evaluate(config: EvaluateConfig, given: dict[str, str]) -> Run:
    """Measure a finished run again, as it was measured but for the settings `given` (dotted keys, and what was typed)."""
    check_lengths(config.context_lengths)
    run = named_run(config, given)
    if not run.trained:
        raise PosextError(
            f"{run.folder} is not trained to its end yet: run its training command again"
        )
    fields = {field.name for field in dataclasses.fields(config.evaluation)}
    typed = {
        name: getattr(config.evaluation, name) for name in fields if f"evaluation.{name}" in given
    }
    changed: dict[str, Any] = {"evaluation": dataclasses.replace(run.config.evaluation, **typed)}
    changed |= {
        name: getattr(config, name)
        for name in ("context_lengths", "protocols", "precision")
        if name in given
    }
    run = dataclasses.replace(
        run, config=dataclasses.replace(run.config, tracking=config.tracking, **changed)
    )
    run.config.check()
    extension = extended(run, config, given)
    measured = extension.config if extension else run.config
    ends, shortest = run.scheme(measured).max_length, context_lengths(run)[0]
    if ends is not None and ends < shortest:
        raise PosextError(
            f"{measured.title()} ends at {ends}, below the shortest context length, {shortest}"
        )
    with run_lock(run, PartialState().is_main_process):
        measure(run, extension)
    return run


def named_run(config: EvaluateConfig, given: dict[str, str]) -> Run:
    """The run, or the checkpoint as one. Raises PosextError unless one of them is named, and for what goes with the other."""
    if config.run is not None:
        beside = [
            key
            for key in given
            if key.partition(".")[0] in ("model", "data", "train_length", "name")
        ]
        if beside:
            raise PosextError(
                f"{beside[0]} goes with a checkpoint ({CHECKPOINT}); run={config.run} has its own"
            )
        return hf.open_run(config.run)
    if (chosen := given.get("model", "hf")) != "hf":
        raise PosextError(
            f"model={chosen} is a network to train; measure run=results/runs/NAME, or {CHECKPOINT}"
        )
    if not config.model["path"]:
        raise PosextError(
            f"name the run to measure: run=results/runs/NAME, or a checkpoint of transformers: {CHECKPOINT}"
        )
    return hf.prepare(config)


class Extension(NamedTuple):
    """What is measured on a run's weights in place of what it was trained with: its config, and what it is called."""

    config: TrainConfig
    name: str


def extended(run: Run, config: EvaluateConfig, given: dict[str, str]) -> Extension | None:
    """The run's config with the scheme and the axes of `config` in place of its own; None where there are none.

    What belongs to the weights (a rotary base) is the run's, unless it was typed. The name holds what was typed, but for the
    factor. Raises PosextError for a scheme of another family than the run's, as its weights mean nothing to it.
    """
    chosen: dict[str, Any] = {
        group: getattr(config, group) for group in ("window", "attention_scale")
    }
    changes = {group: settings for group, settings in chosen.items() if settings is not None}
    own = run.scheme()
    if config.extend is not None:
        kept = {
            k: run.config.pe[k]
            for k in own.inherited_settings
            if k in config.extend and f"extend.{k}" not in given
        }
        changes = {"pe": {**config.extend, **kept}, **changes}
    if not changes:
        return None
    replaced = dataclasses.replace(run.config, **changes)
    family = run.scheme(replaced).family
    if family not in (own.family, "none"):
        raise PosextError(
            f"{replaced.pe['name']} ({family}) cannot extend a run of {run.config.pe['name']} ({own.family}): "
            f"choose a scheme of the family {own.family}, or none"
        )
    return Extension(replaced, "+".join(named(key, changes[key]["name"], given) for key in changes))


def named(key: str, name: str, given: dict[str, str]) -> str:
    """A choice with what was typed for it: yarn, or yarn(beta_fast=4)."""
    prefix = "extend." if key == "pe" else f"{key}."
    typed = [
        f"{k.removeprefix(prefix)}={v}"
        for k, v in given.items()
        if k.startswith(prefix) and k != f"{prefix}factor"
    ]
    return f"{name}({' '.join(typed)})" if typed else name


def measure(run: Run, extension: Extension | None = None, wandb_run: Any = None) -> pd.DataFrame:
    """Measure one scheme on a run's weights, with a matched and a fixed factor where it has one, and write all it leaves.

    `wandb_run` is the run's own, where training left it open: the run's curve goes there, and it is finished.
    """
    accelerator = device.accelerator(run.config.precision)
    tokens = dataset.load_data(run.config.data, accelerator.is_main_process)
    if run.record["data"] != tokens.fingerprint:
        raise PosextError(
            f"{run.folder} was trained on other data ({run.record['data']}, now {tokens.fingerprint})"
        )
    plan = plan_of(run, tokens)
    cache = EvalCache(
        run.folder / MEASURING,
        accelerator.is_main_process,
        record=run.record,
        precision=accelerator.mixed_precision,
    )
    rows, found = [], []
    for config in configs_to_measure(extension.config if extension else run.config, plan):
        model = run.network(config, plan.tokens.vocab_size).to(accelerator.device).eval()
        sums, costs = measure_curve(model, plan, config, accelerator, cache)
        answers = measure_retrieval(
            model, plan, run.config.protocols, config.evaluation, accelerator
        )
        if accelerator.is_main_process:
            name = (
                extension.name if extension else "" if config == run.config else config.pe["name"]
            )
            rows.append(write_curve(run, plan, config.pe.get("factor", ""), name, sums, costs))
            key = (name, rows[-1].factor.iloc[0])
            found.append(write_retrieval(run.folder, answers, *key, run.schedule.longest, run.name))
    if not accelerator.is_main_process:
        return pd.DataFrame(columns=curves.COLUMNS)
    if bayes_floor.has_bayes_floor(run.config.data):
        rows.append(
            write_curve(
                run, plan, "", bayes_floor.FLOOR, *bayes_floor.measure_floor(plan, run.config.data)
            )
        )
    measured = pd.concat(rows, ignore_index=True)
    bayes_floor.warn_if_far(measured, run.config.data.symbols)
    write_outputs(run, measured, pd.concat(found, ignore_index=True), wandb_run)
    cache.drop()
    return measured


def measured(run: Run) -> bool:
    """Whether curves.csv holds all that `measure` would write: a sweep that is started again passes over such a run."""
    rows = curves.read_curves(run.folder / "curves.csv")
    curves_due = {""} | (
        {run.config.pe["name"]} if run.config.pe.get("factor") == "auto" else set()
    )
    curves_due |= {bayes_floor.FLOOR} if bayes_floor.has_bayes_floor(run.config.data) else set()
    return (
        not (run.folder / MEASURING).exists()
        and curves_due <= set(rows.extend)
        and set(run.config.protocols) <= set(rows.protocol) | set(RETRIEVAL)
        and not retrieval.due(run.folder, run.config.protocols)
        and set(context_lengths(run)) <= set(rows.context_length)
    )


def configs_to_measure(config: TrainConfig, plan: EvalPlan) -> list[TrainConfig]:
    """A scheme as set; where its factor follows the length, also with the factor fixed at what the longest context asks."""
    if config.pe.get("factor") != "auto":
        return [config]
    fixed = {**config.pe, "factor": max(1.0, plan.lengths[-1] / config.train_length)}
    return [config, dataclasses.replace(config, pe=fixed)]


def job(composed: DictConfig) -> None:
    evaluate(app.typed(composed), app.given())


def main() -> None:
    app.entry("evaluate", job)


if __name__ == "__main__":
    main()
