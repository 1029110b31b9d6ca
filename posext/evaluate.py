"""Measure a run: the same targets at growing context lengths, as trained or with another scheme on the same weights.

python -m posext.evaluate run=results/runs/NAME [+pe@extend=yarn extend.factor=8]
"""

import dataclasses
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from posext import command, curves, data, device, floor, plot, tracking
from posext.config import EvaluateConfig, TrainConfig, check_lengths
from posext.measure import Plan, make_plan, measure_curve
from posext.run import Run, commit, load, write_text

PROTOCOL = "fixed_target"


def evaluate(config: EvaluateConfig, given: dict[str, str]) -> Run:
    """Measure a finished run again, as it was measured but for the settings `given` (dotted keys, and what was typed)."""
    check_lengths(config.context_lengths)
    run = load(config.run)
    if not run.trained:
        raise ValueError(f"{run.folder} is not trained to its end yet: run its training command again")
    fields = {field.name for field in dataclasses.fields(config.evaluation)}
    typed = {name: getattr(config.evaluation, name) for name in fields if f"evaluation.{name}" in given}
    changed: dict[str, Any] = {"evaluation": dataclasses.replace(run.config.evaluation, **typed)}
    changed |= {name: getattr(config, name) for name in ("context_lengths", "precision") if name in given}
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, tracking=config.tracking, **changed))
    run.config.check()
    measure(run, extended(run, config, given))
    return run


class Extension(NamedTuple):
    """What is measured on a run's weights in place of what it was trained with: its config, and what it is called."""

    config: TrainConfig
    name: str


def extended(run: Run, config: EvaluateConfig, given: dict[str, str]) -> Extension | None:
    """The run's config with the scheme and the axes of `config` in place of its own; None where there are none.

    What belongs to the weights (a rotary base) is the run's, unless it was typed. The name holds what was typed, but for the
    factor. Raises ValueError for a scheme of another family than the run's, as its weights mean nothing to it.
    """
    chosen: dict[str, Any] = {group: getattr(config, group) for group in ("window", "attention_scale")}
    changes = {group: settings for group, settings in chosen.items() if settings is not None}
    own = run.scheme()
    if config.extend is not None:
        kept = {k: run.config.pe[k] for k in own.of_the_weights if k in config.extend and f"extend.{k}" not in given}
        changes = {"pe": {**config.extend, **kept}, **changes}
    if not changes:
        return None
    replaced = dataclasses.replace(run.config, **changes)
    family = run.scheme(replaced).family
    if family not in (own.family, "none"):
        raise ValueError(
            f"{replaced.pe['name']} ({family}) cannot extend a run of {run.config.pe['name']} ({own.family}): "
            f"choose a scheme of the family {own.family}, or none"
        )
    return Extension(replaced, "+".join(named(key, changes[key]["name"], given) for key in changes))


def named(key: str, name: str, given: dict[str, str]) -> str:
    """A choice with what was typed for it: yarn, or yarn(beta_fast=4)."""
    prefix = "extend." if key == "pe" else f"{key}."
    typed = [
        f"{k.removeprefix(prefix)}={v}" for k, v in given.items() if k.startswith(prefix) and k != f"{prefix}factor"
    ]
    return f"{name}({' '.join(typed)})" if typed else name


def measure(run: Run, extension: Extension | None = None, wandb_run: Any = None) -> pd.DataFrame:
    """Measure one scheme on a run's weights, with a matched and a fixed factor where it has one, and write all it leaves.

    `wandb_run` is the run's own, where training left it open: the run's curve goes there, and it is finished.
    """
    accelerator = device.accelerator(run.config.precision)
    tokens = data.load(run.config.data, accelerator.is_main_process)
    if run.record["data"] != tokens.fingerprint:
        raise ValueError(f"{run.folder} was trained on other data ({run.record['data']}, now {tokens.fingerprint})")
    plan = make_plan(run, tokens)
    rows, known = [], []
    for config in configs_to_measure(extension.config if extension else run.config, plan):
        sums, costs = measure_curve(run, plan, config, accelerator, known)
        if accelerator.is_main_process:
            name = extension.name if extension else "" if config == run.config else config.pe["name"]
            rows.append(write_curve(run, plan, config, name, sums, costs))
    if not accelerator.is_main_process:
        return pd.DataFrame(columns=curves.COLUMNS)
    if floor.known(run.config.data):
        without_factor = dataclasses.replace(run.config, pe={"name": curves.FLOOR})
        rows.append(write_curve(run, plan, without_factor, curves.FLOOR, *floor.curve(plan, run.config.data)))
    measured = pd.concat(rows, ignore_index=True)
    floor.warn_if_far(measured, run.config.data.symbols)
    report(run, measured, wandb_run)
    return measured


def configs_to_measure(config: TrainConfig, plan: Plan) -> list[TrainConfig]:
    """A scheme as set; where its factor follows the length, also with the factor fixed at what the longest context asks."""
    if config.pe.get("factor") != "auto":
        return [config]
    fixed = {**config.pe, "factor": max(1.0, plan.lengths[-1] / config.train_length)}
    return [config, dataclasses.replace(config, pe=fixed)]


def write_curve(
    run: Run, plan: Plan, config: TrainConfig, extend: str, sums: pd.DataFrame, costs: pd.DataFrame
) -> pd.DataFrame:
    """Intervals from the sums; rows into curves.csv, sums into documents.parquet. Undefined lengths have empty numbers."""
    factor = config.pe.get("factor", "")
    rows = costs.set_index("context_length").reindex(plan.lengths).reset_index()
    fixed = {
        "study": run.config.study,
        "run": run.name,
        "scheme": run.config.title(),
        "extend": extend,
        "factor": factor if isinstance(factor, str) else f"{factor:g}",
        "model": run.config.model.name,
        "parameters": run.record["parameters"],
        "original_length": run.config.train_length,
        "train_length": run.schedule.longest,
        "seed": run.config.seed,
        "protocol": PROTOCOL,
        "commit": commit(),
    }
    rows = rows.assign(**fixed, **dict.fromkeys(curves.STATISTICS, np.nan))
    rows["tokens_per_second"] = len(plan.targets) * rows.context_length / rows.seconds
    if len(sums):
        rows = curves.with_statistics(rows, sums, run.config.evaluation.bootstrap, run.config.evaluation.seed)
    rows = rows.loc[:, curves.COLUMNS]
    file = run.folder / "curves.csv"
    write_text(file, curves.replace(curves.read(file), rows).to_csv(index=False))
    stored = run.folder / "documents.parquet"
    labelled = sums.assign(**{name: fixed[name] for name in ("extend", "factor", "protocol")})
    before = pd.read_parquet(stored) if stored.exists() else labelled.head(0)
    curves.replace(before, labelled).to_parquet(stored, index=False)
    return rows


def report(run: Run, measured: pd.DataFrame, wandb_run: Any) -> None:
    """The chart of all that the run has, the table of what was measured now, and both on wandb."""
    everything = curves.read(run.folder / "curves.csv")
    figure = run.folder / "curve.png"
    plot.draw(everything, figure, title=run.name)
    for key, curve in measured.loc[measured.extend != curves.FLOOR].groupby(["extend", "factor"], sort=False):
        extend, factor = cast(tuple[str, str], key)
        extension = f"{extend}-{factor}".strip("-") if extend else ""
        started = wandb_run if wandb_run is not None and not extension else tracking.start(run, extension)
        tracking.mirror_curve(started, curve, figure, curves.summary(curve, everything))
        if started is not None:
            started.finish()
    print(f"\n{curves.table(measured, known=everything)}\n")
    count, documents = int(measured.tokens.max()), int(measured.documents.max())
    print(
        f"Perplexity of the same {count:,} tokens in {documents} held-out documents, ± half the 95 % interval over documents."
    )
    print(f"Chart: {figure}")


def job(composed: DictConfig) -> None:
    evaluate(command.typed(composed), command.given())


def main() -> None:
    command.entry("evaluate", job)


if __name__ == "__main__":
    main()
