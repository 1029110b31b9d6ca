"""Checkpoints: weights and optimizer state, in safetensors and JSON; the last two are kept.

A checkpoint is written to a temporary folder and renamed. It is enough to resume exactly, because
data, length and learning rate are pure functions of the step. It is never sharded, so the number
of processes, and how they shard the weights, may change between two starts.
"""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from safetensors.torch import load_file
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from posext.utils.atomic import digests, synced, write_tensors, write_text
from posext.utils.errors import PosextError

Optimizers = Sequence[torch.optim.Optimizer]
KEPT_CHECKPOINTS = 2
FULL_STATE_DICT = StateDictOptions(full_state_dict=True, cpu_offload=True)
log = logging.getLogger(__name__)


def save(folder: Path, step: int, model: nn.Module, optimizers: Optimizers) -> None:
    """Write `folder/step-N`, then delete all but the last two checkpoints.

    Call on every process; the main process writes.

    Args:
        folder: The folder of all checkpoints of a run.
        step: The number of steps done.
        model: The model, sharded or not.
        optimizers: Its optimizers.
    """
    model_tensors = weights(model)
    state_tensors = optimizer_tensors(model, optimizers)
    if PartialState().is_main_process:
        write(folder, step, model_tensors, state_tensors)


def write(
    folder: Path, step: int, model: dict[str, torch.Tensor], optimizer: dict[str, torch.Tensor]
) -> None:
    """Write gathered tensors as `folder/step-N` and delete old checkpoints."""
    final = folder / checkpoint_name(step)
    unfinished = final.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write_tensors(unfinished / "model.safetensors", model)
    write_tensors(unfinished / "optimizer.safetensors", optimizer)
    write_text(unfinished / "state.json", json.dumps({"step": step, "sha256": digests(unfinished)}))
    if final.exists():
        shutil.rmtree(final)
    os.rename(unfinished, final)
    synced(folder)
    for old in sorted(folder.glob("step-????????"))[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def restore(folder: Path, model: nn.Module, optimizers: Optimizers) -> int:
    """Load the newest intact checkpoint into model and optimizers.

    Damaged ones are skipped with a warning.

    Args:
        folder: The folder of all checkpoints of a run.
        model: The model, sharded or not.
        optimizers: Its optimizers.

    Returns:
        The number of steps done; 0 without a checkpoint.
    """
    for path in sorted(folder.glob("step-????????"), reverse=True):
        try:
            step, model_tensors, state_tensors = read(path)
        except (OSError, ValueError, KeyError) as error:
            log.warning("skipping the damaged checkpoint %s: %s", path, error)
            continue
        set_model_state_dict(model, dict[str, Any](model_tensors), options=FULL_STATE_DICT)
        load_optimizers(model, optimizers, state_tensors)
        return step
    return 0


def read(path: Path) -> tuple[int, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the step, weights and optimizer state of a checkpoint.

    Raises OSError, ValueError or KeyError if it is damaged.
    """
    state = json.loads((path / "state.json").read_text())
    intact = digests(path, "*.safetensors") == state["sha256"]
    if not intact or path.name != checkpoint_name(state["step"]):
        raise PosextError("its content does not match its hash")
    model = load_file(path / "model.safetensors")
    optimizer = load_file(path / "optimizer.safetensors")
    return state["step"], model, optimizer


def checkpoint_name(step: int) -> str:
    """Return the folder name of a checkpoint; names sort by step."""
    return f"step-{step:08d}"


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Gather the full weights on the CPU of the main process. Call on every process.

    Tied weights are there under each of their names, as tensors of their own.
    """
    state = cast(dict[str, torch.Tensor], get_model_state_dict(model, options=FULL_STATE_DICT))
    gathered = {}
    storages = set()
    for name, tensor in state.items():
        is_tied = tensor.numel() > 0 and tensor.data_ptr() in storages
        storages.add(tensor.data_ptr())
        gathered[name] = tensor.clone() if is_tied else tensor.contiguous()
    return gathered


def optimizer_tensors(model: nn.Module, optimizers: Optimizers) -> dict[str, torch.Tensor]:
    """Gather the state of the optimizers by parameter name: "exp_avg.blocks.0.mlp.down.weight".

    Call on every process. With sharded weights, the main process gets all of it and the others
    nothing.
    """
    state = get_optimizer_state_dict(model, optimizers, options=FULL_STATE_DICT).get("state", {})
    return {
        f"{key}.{name}": value
        for name, values in cast(dict[str, Any], state).items()
        for key, value in values.items()
    }


def load_optimizers(
    model: nn.Module, optimizers: Optimizers, tensors: dict[str, torch.Tensor]
) -> None:
    """Load tensors named as by `optimizer_tensors` into optimizers."""
    trained = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
    state: dict[str, Any] = {name: {} for name in trained}
    for key, value in tensors.items():
        moment, _, name = key.partition(".")
        state[name][moment] = value
    groups = get_optimizer_state_dict(model, optimizers)["param_groups"]
    set_optimizer_state_dict(
        model, optimizers, {"state": state, "param_groups": groups}, options=FULL_STATE_DICT
    )
