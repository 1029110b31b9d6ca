"""A run's folder: its name, the config it stands for, and what is found in it.

results/runs/NAME/  config.yaml  metrics.jsonl  curves.csv  documents.parquet  curve.png  report.html  tokenizer.json
                    model.safetensors and run.json once trained; checkpoints/ until then; measuring/ until measured; wandb/
                    run.lock, which whoever works on the run holds; error.txt where it failed
"""

import json
import re
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from yaml import YAMLError

from posext.config import MODIFIERS, TrainConfig
from posext.model.gpt import GPT
from posext.pe import PositionalEncoding, Shape, from_config
from posext.training.schedules import LengthSchedule, schedule
from posext.utils.atomic import digest, write_text
from posext.utils.errors import PosextError

# Settings that do not change what is trained: they may differ when a run is taken up again, and are not in its name.
BESIDE = {
    "name", "study", "results", "evaluate", "context_lengths", "protocols", "evaluation", "tracking", "validate_every",
    "checkpoint_every", "own_modules",
}  # fmt: skip
NEEDED = (
    "pe",
    "model",
    "data",
    "train_length",
)  # what a stored config must say: no default could stand for it
IN_THE_NAME = ("pe", *MODIFIERS, "model", "train_length", "seed", "length")


@dataclass(frozen=True)
class Run:
    folder: Path
    config: TrainConfig

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def schedule(self) -> LengthSchedule:
        return schedule(self.config.length, self.config.train_length, self.config.steps)

    @property
    def trained(self) -> bool:
        return (self.folder / "run.json").is_file()

    @property
    def record(self) -> dict[str, Any]:
        """What training left: parameters, seconds, data fingerprint, commit and versions."""
        file = self.folder / "run.json"
        try:
            record = json.loads(file.read_text())
        except ValueError as error:
            raise PosextError(f"{file} is damaged: {error}") from error
        if lacking := {"parameters", "data"} - record.keys():
            raise PosextError(
                f"{file} lacks {' and '.join(sorted(lacking))}, which training leaves there"
            )
        return record

    def weights(self) -> dict[str, Tensor]:
        """What was trained, by name. Raises PosextError where the file is damaged, or anything but safetensors."""
        file, written = (
            self.folder / "model.safetensors",
            self.record.get("weights", {}).get("sha256"),
        )
        try:
            if written not in (None, digest(file)):
                raise OSError("not what training wrote, by its hash in run.json")
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise PosextError(f"the weights in {file} are damaged: {error}") from error

    def scheme(self, config: TrainConfig | None = None) -> PositionalEncoding:
        """The run's scheme with its axes, or those of another config, for its network and its original length."""
        config, model = config or self.config, self.config.model
        shape = Shape(model.head_dim(), model.n_heads, model.d_model, self.config.train_length)
        return from_config(config.pe, shape, config.modifiers())

    def network(self, config: TrainConfig, vocab_size: int) -> Any:
        """The run's weights under the scheme and axes of a config. Raises PosextError where they do not fit."""
        scheme = self.scheme(config)
        scheme.set_progress(trained_length=scheme.effective_length(self.schedule.longest))
        model = GPT(self.config.model, vocab_size, scheme)
        try:
            model.load_state_dict(self.weights())
        except RuntimeError as error:
            raise PosextError(
                f"the weights of {self.folder} do not fit {config.title()}: {error}"
            ) from error
        return model


def prepare_run(config: TrainConfig, write: bool = True) -> Run:
    """The run of a config: a new folder, or the one that holds the same config. Of several processes one writes.

    Raises PosextError where the folder holds another config, naming what differs, and, before anything is written, where
    the scheme cannot be built or ends before the longest length of the schedule.
    """
    folder = Path(config.results) / str(config.name)
    scheme, longest = Run(folder, config).scheme(), Run(folder, config).schedule.longest
    if scheme.max_length is not None and scheme.max_length < longest:
        raise PosextError(
            f"{config.pe['name']} ends at {scheme.max_length}, but training goes to {longest} tokens"
        )
    claim(Run(folder, config), asdict(config), write)
    return Run(folder, config)


def claim(run: Run, settings: dict[str, Any], write: bool = True) -> None:
    """Write settings into the folder of a run. Raises PosextError where it holds others, naming what differs."""
    folder, file = run.folder, run.folder / "config.yaml"
    if file.exists():
        before, now = flat(asdict(load_run(folder).config)), flat(asdict(run.config))
        differing = sorted(
            key
            for key in before | now
            if key.split(".")[0] not in BESIDE and before.get(key) != now.get(key)
        )
        if differing:
            changes = ", ".join(
                f"{key} was {before.get(key)}, is {now.get(key)}" for key in differing[:5]
            )
            raise PosextError(f"{folder} holds another config ({changes}); choose another name=")
    if write:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(file, OmegaConf.to_yaml(settings))


def load_run(folder: Path | str) -> Run:
    """The run in a folder, which may come from a stranger: its config is read, and nothing in it is looked up or run.

    A checkpoint of transformers that was measured has a folder too: `posext.hf.open_run` opens both. Raises PosextError
    where there is no run.
    """
    folder = Path(folder)
    file = folder / "config.yaml"
    if not file.is_file():
        raise PosextError(f"{folder} is not the folder of a run: it has no config.yaml")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), stored_config(file))
        config = cast(TrainConfig, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise PosextError(
            f"{file} is not a config of this version: {str(error).splitlines()[0]}"
        ) from error
    if config.model.path is not None:
        return Run(folder, config)
    for part in (config.pe, *config.modifiers().values()):
        if not isinstance(part, dict) or not {"name", "_target_"} <= part.keys():
            raise PosextError(
                f"{file} is no config of a run: {part} has not both a name and a _target_"
            )
    return Run(folder, config)


def stored_config(file: Path) -> DictConfig:
    """A config as a run stored it. Raises PosextError for one that is no mapping, lacks what has no default, or looks up.

    What a run stores is resolved, so an interpolation was put there by hand: it could read files and the environment.
    """
    try:
        stored = cast(DictConfig, OmegaConf.load(file))
    except (YAMLError, OmegaConfBaseException, ValueError, OSError) as error:
        raise PosextError(f"{file} is no config of a run: it cannot be read") from error
    lacking = [key for key in NEEDED if key not in stored or not isinstance(stored, DictConfig)]
    if lacking:
        raise PosextError(f"{file} is no config of a run: it lacks {', '.join(lacking)}")
    if "${" in json.dumps(OmegaConf.to_container(stored, resolve=False), default=str):
        raise PosextError(
            f"{file} is refused: it holds an interpolation (${{..}}), which no run stores"
        )
    return stored


def name_of(config: TrainConfig, overrides: list[str]) -> str:
    """A run's name: scheme, model, length and seed, then whatever else was asked for that changes what is trained."""
    lengths = schedule(config.length, config.train_length, config.steps)
    length = str(config.train_length) + (
        f"to{lengths.longest}" if lengths.longest > config.train_length else ""
    )
    extra = []
    for override in sorted(overrides):
        key, _, value = override.lstrip("+~").partition("=")
        if key not in IN_THE_NAME and key.split(".")[0] not in BESIDE and key != "data.cache":
            extra.append(
                f"{key.removeprefix('pe.')}-{Path(value).name}"
            )  # of a path, what it ends in
    parts = [config.title(), config.model.name, length, f"seed{config.seed}", *extra]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts))[:200]


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        k: v
        for key, value in tree.items()
        for k, v in flat(value, f"{prefix}.{key}" if prefix else key).items()
    }


@cache
def commit() -> str:
    """The commit of the code that runs, marked -dirty where it has changes; empty outside a checkout."""
    checkout = Path(__file__).resolve().parents[2]
    if not (
        checkout / ".git"
    ).exists():  # an installed package may lie inside somebody else's checkout
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
