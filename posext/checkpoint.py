"""Weights and optimizer state on disk: safetensors and JSON, written beside and renamed whole, the last two kept.

Nothing else is needed to go on exactly: data, length and learning rate are pure functions of the step.
"""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

KEPT = 2
log = logging.getLogger(__name__)


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write `folder/step-N`, then drop all but the last two."""
    final = folder / f"step-{step:08d}"
    unfinished = final.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file(weights(model), unfinished / "model.safetensors")
    save_file(optimizer_tensors(model, optimizer), unfinished / "optimizer.safetensors")
    hashes = {path.name: digest(path) for path in sorted(unfinished.glob("*.safetensors"))}
    (unfinished / "state.json").write_text(json.dumps({"step": step, "sha256": hashes}))
    for path in unfinished.iterdir():
        synced(path)
    if final.exists():
        shutil.rmtree(final)
    os.rename(unfinished, final)
    synced(folder)
    for old in sorted(folder.glob("step-????????"))[:-KEPT]:
        shutil.rmtree(old)


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the newest intact checkpoint into model and optimizer; its step, or 0 where there is none."""
    for path in sorted(folder.glob("step-????????"), reverse=True):
        try:
            state = json.loads((path / "state.json").read_text())
            if any(digest(path / name) != sha256 for name, sha256 in state["sha256"].items()):
                raise ValueError("its content does not match its hash")
            model_state, tensors = (
                load_file(path / "model.safetensors"),
                load_file(path / "optimizer.safetensors"),
            )
        except (OSError, ValueError, KeyError) as error:
            log.warning("skipping the damaged checkpoint %s: %s", path, error)
            continue
        model.load_state_dict(model_state)
        load_optimizer(model, optimizer, tensors)
        return state["step"]
    return 0


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state by the parameter's name, as in "exp_avg.blocks.0.mlp.down.weight"."""
    return {
        f"{key}.{name}": value.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    for name, parameter in model.named_parameters():
        suffix = f".{name}"
        state = {key.removesuffix(suffix): value for key, value in tensors.items() if key.endswith(suffix)}
        # AdamW counts steps in float32 on the device of a fused parameter
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
