"""Names of run folders, and of the checkpoints that a run keeps."""

import re
from pathlib import Path

from posext.config import MODIFIERS, NOT_IN_IDENTITY, TrainConfig
from posext.training.schedules import schedule
from posext.utils.errors import PosextError

KEPT = "kept"  # the folder in that of a run for the steps that it keeps
IN_THE_NAME = ("pe", *MODIFIERS, "model", "train_length", "seed", "length", "model.kind")


def run_name(config: TrainConfig, overrides: list[str]) -> str:
    """Return a run's name: scheme, model, length and seed, then the other overrides.

    Overrides that do not change the weights are left out.
    """
    stages = schedule(config.length, config.train_length, config.steps)
    length = str(config.train_length)
    if stages.longest > config.train_length:
        length += f"to{stages.longest}"
    extra = []
    for override in sorted(overrides):
        key, _, value = override.lstrip("+~").partition("=")
        ignored = key in IN_THE_NAME or key.split(".")[0] in NOT_IN_IDENTITY
        # the lengths do not tell the windows
        ignored &= not (key == "length" and config.length.has_windows)
        if key == "init.path":
            extra.append(f"from-{Path(value).name}")
        elif not ignored and key != "data.cache":
            if value in ("True", "False"):  # as a sweep writes true and false
                value = value.lower()
            # the last component of a path
            extra.append(f"{key.removeprefix('pe.')}-{Path(value).name}")
    parts = [config.title(), config.model.name, length, f"seed{config.seed}", *extra]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts))[:200]


def kept_folder(folder: Path, step: int) -> Path:
    """Return the folder in which a run keeps its weights of a step.

    Raises PosextError if it does not keep that step, naming those that it keeps.
    """
    name = folder.resolve().name
    kept = folder / KEPT / f"{name}-step-{step}"
    if not (kept / "run.json").is_file():
        steps = sorted(int(path.name.rpartition("-")[2]) for path in (folder / KEPT).glob("*"))
        raise PosextError(
            f"{folder} keeps no checkpoint of step {step}: it keeps "
            f"{', '.join(map(str, steps)) or 'none (keep_every=STEPS keeps some)'}"
        )
    return kept
