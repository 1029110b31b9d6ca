"""The runs that a study trains, and the measurements on their weights, in order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict, read_write

from posext import hf
from posext.cli import app
from posext.config import EvaluateConfig, TrainConfig
from posext.pe import CONFIGS
from posext.runs import inheritance
from posext.runs.naming import KEPT, run_name
from posext.runs.run import Run, differing_settings
from posext.study.spec import SEED, Study, words
from posext.utils.errors import PosextError

PARENT = "init.path"
VARIED = ("seed=", f"{PARENT}=")  # of runs whose other settings are composed once


@dataclass(frozen=True)
class Job:
    """A run to train, or a measurement on the weights of a run, with the overrides that make it."""

    folder: Path
    arguments: list[str]
    measurement: EvaluateConfig | None = None  # its settings, but for the run


@dataclass(frozen=True)
class Step:
    """A line of a study: one sweep of `posext train -m`, or of `posext evaluate -m`."""

    part: str
    entry: str
    arguments: list[str]
    jobs: list[Job]


@dataclass
class Plan:
    """The steps of a study in order, and the config of every run that it trains."""

    study: Study
    steps: list[Step] = field(default_factory=list)
    runs: dict[Path, TrainConfig] = field(default_factory=dict)


class PlannedRun(Run):
    """A run that is not trained yet, as the parent of others."""

    @property
    def weights_version(self) -> str:
        return ""

    @property
    def steps_done(self) -> int:
        return self.last_step


def plan_of(study: Study, seeds: Sequence[int] | None = None) -> Plan:
    """Plan a study.

    Args:
        study: The study.
        seeds: Seeds in place of those in its file.

    Raises:
        PosextError: A setting is invalid, a reference names no run, or two runs have one folder.
    """
    plan = Plan(study)
    composed: dict[tuple[str, ...], tuple[Any, set[str]]] = {}
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for part, lines in study.spec.parts.items():
            chosen = seeds or lines.seeds or study.spec.seeds
            for line in lines.train:
                typed = trained_line([*study.common, *words(line)], chosen, plan.runs)
                jobs = [training(plan, composed, each) for each in split(typed)]
                plan.steps.append(Step(part, "train", typed, jobs))
            for line in lines.evaluate:
                typed = [*words(study.spec.measure), *words(line)]
                typed = with_references(app.in_full(typed), "run", chosen, plan.runs)
                measured = [each for each in typed if not each.startswith("run=")]
                runs = [each for each in typed if each.startswith("run=")]
                if len(runs) != 1:
                    raise PosextError(f"{line!r} must name its runs once: run=PATTERN")
                # runs vary fastest, so that neighbours in a sweep are on different ones
                typed = [*measured, *runs]
                jobs = [measuring(study, composed, each) for each in split(typed)]
                plan.steps.append(Step(part, "evaluate", typed, jobs))
    return plan


def measuring(study: Study, composed: dict, arguments: list[str]) -> Job:
    """Plan a measurement. Raises PosextError for an invalid setting."""
    key = ("evaluate", *(each for each in arguments if not each.startswith("run=")))
    if key not in composed:
        composed[key] = compose_config("evaluate", [*arguments, *study.searchpath])
    return Job(measured_folder(arguments), arguments, composed[key][0])


def measured_folder(arguments: list[str]) -> Path:
    """The folder in which a measurement is written: of a run, or of a step that it keeps."""
    typed = given(arguments)
    run = Path(typed["run"])
    step = typed.get("checkpoint")
    return run if step is None else run / KEPT / f"{run.name}-step-{step}"


def trained_line(typed: list[str], seeds: Sequence[int], runs: Collection[Path]) -> list[str]:
    """The overrides of a sweep that trains, with its seeds and parents."""
    typed = app.in_full(typed)
    names_seeds = any(SEED in each or each.startswith("seed=") for each in typed)
    if not names_seeds:
        typed.append(f"seed={','.join(map(str, seeds))}")
    return with_references(typed, PARENT, seeds, runs)


def with_references(
    typed: list[str], key: str, seeds: Sequence[int], runs: Collection[Path]
) -> list[str]:
    """Put the folders of runs in place of the patterns that name them under `key`."""
    return [
        f"{key}={','.join(map(str, named(each.partition('=')[2], seeds, runs)))}"
        if each.startswith(f"{key}=")
        else each
        for each in typed
    ]


def named(patterns: str, seeds: Sequence[int], runs: Collection[Path]) -> list[Path]:
    """The folders that patterns name: of runs planned before, or any that is given by its path.

    Raises PosextError for a pattern that names no planned run.
    """
    folders: list[Path] = []
    for pattern in patterns.split(","):
        for seed in seeds if SEED in pattern else seeds[:1]:
            wanted = pattern.replace(SEED, str(seed))
            if "/" in wanted:
                folders.append(Path(wanted))
                continue
            found = [folder for folder in runs if fnmatchcase(folder.name, wanted)]
            if not found:
                raise PosextError(f"{wanted} names none of the runs that the study trains before")
            folders += found
    return list(dict.fromkeys(folders))


def split(typed: list[str]) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra's own sweeper makes them."""
    overrides = OverridesParser.create().parse_overrides(typed)
    return BasicSweeper.split_arguments(overrides, None)[0]


def training(plan: Plan, composed: dict, arguments: list[str]) -> Job:
    """Plan the training of one run, and note its config.

    Raises PosextError as `plan_of` does.
    """
    key = tuple(each for each in arguments if not each.startswith(VARIED))
    if key not in composed:
        composed[key] = compose_config("train", [*arguments, *plan.study.searchpath])
    config, chosen = composed[key]
    typed = given(arguments)
    if "seed" in typed:
        config = replace(config, seed=int(typed["seed"]))
    if PARENT in typed:
        config = replace(config, init=replace(config.init, path=typed[PARENT]))
        config = inherited(config, chosen, plan.runs)
    config.check()
    config.name = config.name or run_name(config, arguments)
    folder = Path(config.results) / config.name
    if folder in plan.runs and (changed := differing_settings(plan.runs[folder], config)):
        raise PosextError(f"two runs of the study have the folder {folder}: {changed[0]}")
    plan.runs[folder] = config
    return Job(folder, arguments)


def inherited(
    config: TrainConfig, chosen: Collection[str], runs: dict[Path, TrainConfig]
) -> TrainConfig:
    """The config of a continuation, with the settings of its parent, trained or planned."""
    parent = Path(str(config.init.path))
    if parent in runs and not Run(parent, runs[parent]).trained:
        return inheritance.inherit(config, PlannedRun(parent, runs[parent]), chosen)
    return hf.inherit(config, chosen)


def compose_config(entry: str, arguments: list[str]) -> tuple[Any, set[str]]:
    """The config that Hydra composes for `train` or `evaluate`, and what is chosen in it."""
    composed = compose(entry, arguments, return_hydra_config=True)
    HydraConfig.instance().set_config(composed)
    with read_write(composed), open_dict(composed):
        del composed["hydra"]
    return app.typed(composed), app.chosen()


def given(arguments: list[str]) -> dict[str, str]:
    """The dotted keys of overrides, with their values."""
    pairs = (argument.lstrip("+~").partition("=") for argument in arguments)
    return {key: value for key, _, value in pairs}
