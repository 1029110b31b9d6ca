"""Measure a run: the same targets at growing context lengths, as trained or with another scheme on the same weights.

python -m posext.evaluate run=results/runs/NAME [+pe@extend=yarn extend.factor=8]
"""

import dataclasses
from typing import Any, cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from posext import command, curves, data, device, floor, plot, tracking
from posext.config import EvaluateConfig, check_lengths
from posext.measure import Plan, make_plan, measure_curve
from posext.run import Run, commit, load, write_text

PROTOCOL = "fixed_target"


def evaluate(config: EvaluateConfig, given: set[str]) -> Run:
    """Measure a finished run again, as it was measured but for the settings `given` (dotted keys that were typed)."""
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
    measure(run, extended(run, config.extend, given) if config.extend else None)
    return run


def extended(run: Run, extension: dict[str, Any], given: set[str]) -> dict[str, Any]:
    """The settings of an extension: what belongs to the weights (a rotary base) is the run's, unless it was typed.

    Raises ValueError for a scheme of another family than the run's, as its weights mean nothing to it.
    """
    own = run.scheme()
    kept = {k: run.config.pe[k] for k in own.of_the_weights if k in extension and f"extend.{k}" not in given}
    settings = {**extension, **kept}
    family = run.scheme(settings).family
    if family not in (own.family, "none"):
        raise ValueError(
            f"{settings['name']} ({family}) cannot extend a run of {run.config.pe['name']} ({own.family}): "
            f"choose a scheme of the family {own.family}, or none"
        )
    return settings


def measure(run: Run, extension: dict[str, Any] | None = None, wandb_run: Any = None) -> pd.DataFrame:
    """Measure one scheme on a run's weights, with a matched and a fixed factor where it has one, and write all it leaves.

    `wandb_run` is the run's own, where training left it open: the run's curve goes there, and it is finished.
    """
    accelerator = device.accelerator(run.config.precision)
    tokens = data.load(run.config.data, accelerator.is_main_process)
    if run.record["data"] != tokens.fingerprint:
        raise ValueError(f"{run.folder} was trained on other data ({run.record['data']}, now {tokens.fingerprint})")
    plan = make_plan(run, tokens)
    rows, known = [], []
    for settings in settings_to_measure(extension or run.config.pe, plan, run.config.train_length):
        replaced = settings if settings != run.config.pe else None
        sums, costs = measure_curve(run, plan, settings, accelerator, known)
        if accelerator.is_main_process:
            rows.append(write_curve(run, plan, replaced, sums, costs))
    if not accelerator.is_main_process:
        return pd.DataFrame(columns=curves.COLUMNS)
    if floor.known(run.config.data):
        rows.append(write_curve(run, plan, {"name": curves.FLOOR}, *floor.curve(plan, run.config.data)))
    measured = pd.concat(rows, ignore_index=True)
    floor.warn_if_far(measured, run.config.data.symbols)
    report(run, measured, wandb_run)
    return measured


def settings_to_measure(settings: dict[str, Any], plan: Plan, original_length: int) -> list[dict[str, Any]]:
    """A scheme as set; where its factor follows the length, also with the factor fixed at what the longest context asks."""
    if settings.get("factor") != "auto":
        return [settings]
    return [settings, {**settings, "factor": max(1.0, plan.lengths[-1] / original_length)}]


def write_curve(
    run: Run, plan: Plan, replaced: dict[str, Any] | None, sums: pd.DataFrame, costs: pd.DataFrame
) -> pd.DataFrame:
    """Intervals from the sums; rows into curves.csv, sums into documents.parquet. Undefined lengths have empty numbers."""
    factor = (replaced or run.config.pe).get("factor", "")
    rows = costs.set_index("context_length").reindex(plan.lengths).reset_index()
    fixed = {
        "study": run.config.study,
        "run": run.name,
        "scheme": run.config.pe["name"],
        "extend": replaced["name"] if replaced else "",
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
