"""The file of a study: configs/studies/NAME.yaml, or studies/NAME.yaml in a folder of the user's.

The folder is not called `study`, as the setting of that name would then be a config group.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from hydra import compose, initialize_config_dir
from omegaconf import MISSING, DictConfig, OmegaConf

from posext.pe import CONFIGS
from posext.utils.errors import PosextError

GROUP = "studies"
OUTPUTS = "outputs"  # the part that makes figures and tables
SEED = "{seed}"  # stands for each seed in a line


@dataclass
class PartSpec:
    """A part of a study: what `--only` chooses.

    Lines are typed as after `posext train -m` and `posext evaluate -m`. `init=` and `run=` name
    runs of the study, with wildcards, or a path; `{seed}` stands for each seed. A line that names
    no seed is trained with each.
    """

    train: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    seeds: list[int] | None = None  # null: those of the study


@dataclass
class StudySpec:
    """A study.

    An output is a name and the command that makes it: `plot`, `table`, `compare` or `accuracy` with
    what is typed after it, or `python` and a program, for which {out} stands for the folder of the
    study and {runs} for those of its runs.
    """

    title: str = MISSING
    parts: dict[str, PartSpec] = MISSING
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    common: str = ""  # settings of all training
    measure: str = ""  # settings of all that is put on trained weights
    outputs: dict[str, str] = field(default_factory=dict)
    study: str | None = None  # the setting `study` of the runs; null: the name of the file
    results: str | None = None  # the parent folder of the runs; null: results/runs/NAME
    out: str | None = None  # the folder of the study; null: results/NAME


@dataclass(frozen=True)
class Study:
    """A study with its name and the folders that its configs are looked up in."""

    name: str
    spec: StudySpec
    config_dirs: tuple[Path, ...] = ()

    @property
    def out(self) -> Path:
        """The folder of its curves, figures and tables."""
        return Path(self.spec.out or f"results/{self.name}")

    @property
    def common(self) -> list[str]:
        """The overrides that all its training has, in the order of the command line."""
        labels = [
            f"study={self.spec.study or self.name}",
            f"results={self.spec.results or f'results/runs/{self.name}'}",
        ]
        return [*words(self.spec.common), *labels]

    @property
    def searchpath(self) -> list[str]:
        """Hydra's override for the user's own folders; empty for none."""
        folders = ",".join(f"file://{folder.resolve()}" for folder in self.config_dirs)
        return [f"hydra.searchpath=[{folders}]"] if folders else []


def words(line: str) -> list[str]:
    """Split a line as a shell does. Raises PosextError for an open quote."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise PosextError(f"{line!r} is no line of a study: {error}") from error


def load(name: str, config_dirs: Sequence[Path] = ()) -> Study:
    """Load the study of a name.

    Raises:
        PosextError: It does not exist, trains and measures nothing, or has no seeds.
        OmegaConfBaseException: It has an unknown key, or a value of another type.
    """
    study = Study(name, StudySpec(), tuple(config_dirs))
    if name not in names(config_dirs):
        known = ", ".join(names(config_dirs))
        raise PosextError(f"there is no study {name!r}; there are {known}")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose(overrides=[f"+{GROUP}={name}", *study.searchpath])
    merged = OmegaConf.merge(OmegaConf.structured(StudySpec), composed[GROUP])
    if missing := OmegaConf.missing_keys(cast(DictConfig, merged)):
        raise PosextError(f"the study {name} lacks {' and '.join(sorted(missing))}")
    spec = cast(StudySpec, OmegaConf.to_object(merged))
    check(name, spec)
    return Study(name, spec, tuple(config_dirs))


def check(name: str, spec: StudySpec) -> None:
    """Raise PosextError for a study that holds a part without lines, or without seeds."""
    for part, lines in spec.parts.items():
        if part == OUTPUTS:
            raise PosextError(f"the study {name} has a part {OUTPUTS}, which is a key of its own")
        if not (lines.train or lines.evaluate):
            raise PosextError(f"the part {part} of the study {name} trains and measures nothing")
        if not (spec.seeds if lines.seeds is None else lines.seeds):
            raise PosextError(f"the part {part} of the study {name} has no seeds")


def names(config_dirs: Sequence[Path] = ()) -> list[str]:
    """Return the names of all studies."""
    folders = [folder / GROUP for folder in (CONFIGS, *config_dirs)]
    return sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
