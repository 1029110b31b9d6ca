"""What of a plan is done, and how long the rest takes by the speed of what is done."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tabulate import tabulate

from posext import evaluate, hf
from posext.analysis import completeness, curves
from posext.config import TrainConfig
from posext.eval.bayes_floor import FLOOR
from posext.eval.extension import extended
from posext.runs import tracking
from posext.runs.run import Run, claim
from posext.study.plan import Job, Plan, Step, given
from posext.utils.errors import PosextError

SAMPLES = 20  # runs whose speed is looked at


@dataclass(frozen=True)
class Progress:
    """A step of a plan, with the jobs of it that are not done, and the seconds that they take."""

    step: Step
    missing: list[Job]
    seconds: float | None  # None: nothing like it is done yet


def progress_of(plan: Plan, only: Sequence[str] = ()) -> list[Progress]:
    """Look at what is done of the parts `only`, or of all.

    Raises PosextError for an unknown part, or a folder that holds another run.
    """
    parts = plan.study.spec.parts
    if unknown := [part for part in only if part not in parts]:
        raise PosextError(
            f"the study {plan.study.name} has no part {unknown[0]!r}; it has {', '.join(parts)}"
        )
    steps = [step for step in plan.steps if not only or step.part in only]
    missing = [[job for job in step.jobs if not is_done(plan, step, job)] for step in steps]
    speeds = training_speeds(plan)
    curve = curve_seconds(plan)
    return [
        Progress(step, jobs, seconds(plan, step, jobs, speeds, curve))
        for step, jobs in zip(steps, missing, strict=True)
    ]


def is_done(plan: Plan, step: Step, job: Job) -> bool:
    """Return whether a job has left all that it is to leave.

    Raises PosextError if the folder of a run to train holds another run.
    """
    if step.entry == "evaluate":
        return is_measured(job)
    config = plan.runs[job.folder]
    run = hf.as_run(Run(job.folder, config))
    parent = config.init.path
    if not run.trained or (parent is not None and config.init.weights in (None, "")):
        return False
    claim(run, asdict(config), write=False)
    return not config.evaluate or completeness.is_measured(run)


def is_measured(job: Job) -> bool:
    """Return whether a run's folder has what a job of `posext evaluate` writes."""
    if not (job.folder / "config.yaml").is_file():
        return False
    run = hf.open_run(job.folder)
    if not run.trained:
        return False
    assert job.measurement is not None
    typed = given(job.arguments)
    run = evaluate.with_settings(run, job.measurement, typed)
    return completeness.is_measured(run, extended(run, job.measurement, typed))


def seconds(
    plan: Plan, step: Step, jobs: list[Job], speeds: dict[tuple, float], curve: float | None
) -> float | None:
    """The seconds that jobs take one after the other; None without anything to go by."""
    if not jobs:
        return 0.0
    if step.entry == "evaluate":
        return None if curve is None else curve * len(jobs)
    total = 0.0
    for job in jobs:
        config = plan.runs[job.folder]
        total += (curve or 0.0) * config.evaluate
        if (job.folder / "run.json").is_file():  # trained, and lacks its curve
            continue
        speed = speeds.get(kind(config)) or speeds.get((config.model.name,))
        if speed is None:
            return None
        total += config.steps * config.tokens_per_step / speed
    return total


def kind(config: TrainConfig) -> tuple:
    """What runs of one speed have in common."""
    return (config.model.name, config.train_length)


def training_speeds(plan: Plan) -> dict[tuple, float]:
    """Median tokens a second of runs that are done, by `kind` and by model."""
    found: dict[tuple, list[float]] = {}
    for folder in trained(plan):
        rows = tracking.read_metrics(folder / "metrics.jsonl")
        rates = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
        if rates:
            config = plan.runs[folder]
            for key in (kind(config), (config.model.name,)):
                found.setdefault(key, []).append(median(rates))
    return {key: median(rates) for key, rates in found.items()}


def curve_seconds(plan: Plan) -> float | None:
    """Median seconds of a curve of runs that are done; None without any."""
    found = []
    for folder in trained(plan):
        rows = curves.read_curves(folder / "curves.csv")
        rows = rows.loc[rows.extend != FLOOR]
        # a pass measures all groups of a protocol
        passes = rows.drop_duplicates([*curves.EXTENSION, "corpus", "protocol", "context_length"])
        found += passes.groupby(curves.EXTENSION).seconds.sum().tolist()
    return median(found) if found else None


def trained(plan: Plan) -> list[Path]:
    """Some folders of trained runs."""
    return [folder for folder in plan.runs if (folder / "run.json").is_file()][:SAMPLES]


def progress_table(steps: Sequence[Progress]) -> str:
    """What there is to do, and what is done, by part."""
    rows = []
    for part in dict.fromkeys(each.step.part for each in steps):
        own = [each for each in steps if each.step.part == part]
        cells = [part, count(own, "train"), count(own, "evaluate"), duration(own)]
        rows.append(cells)
    total = ["all", count(steps, "train"), count(steps, "evaluate"), duration(steps)]
    headers = ["part", "runs done", "measurements done", "left, one after the other"]
    return tabulate([*rows, total], headers=headers, tablefmt="github", disable_numparse=True)


def count(steps: Sequence[Progress], entry: str) -> str:
    """The jobs done of all jobs of an entry point; empty for none."""
    own = [each for each in steps if each.step.entry == entry]
    total = sum(len(each.step.jobs) for each in own)
    left = sum(len(each.missing) for each in own)
    return f"{total - left} of {total}" if total else ""


def duration(steps: Sequence[Progress]) -> str:
    """The time left, in words."""
    left = [each.seconds for each in steps]
    if any(each is None for each in left):
        return "not known before a run is done"
    minutes = sum(each or 0.0 for each in left) / 60
    if minutes < 1:
        return "nothing" if minutes == 0 else "under a minute"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
