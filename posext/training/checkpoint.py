"""Weights and optimizer state on disk: safetensors and JSON, written beside and renamed whole, the last two kept.

Nothing else is needed to go on exactly: data, length and learning rate are pure functions of the step. A checkpoint is
whole whatever the processes were, so their number and how they shared the weights may change between two starts.
"""

import json
import logging
import os
import shutil
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

KEPT = 2
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
log = logging.getLogger(__name__)


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write `folder/step-N`, then drop all but the last two. Every process takes part, the main one writes."""
    state = weights(model), optimizer_tensors(model, optimizer)
    if PartialState().is_main_process:
        write(folder, step, *state)


def write(
    folder: Path, step: int, model: dict[str, torch.Tensor], optimizer: dict[str, torch.Tensor]
) -> None:
    final = folder / name_of(step)
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
    for old in sorted(folder.glob("step-????????"))[:-KEPT]:
        shutil.rmtree(old)


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the newest intact checkpoint into model and optimizer; its step, or 0 where there is none."""
    for path in sorted(folder.glob("step-????????"), reverse=True):
        try:
            state = json.loads((path / "state.json").read_text())
            if digests(path, "*.safetensors") != state["sha256"] or path.name != name_of(
                state["step"]
            ):
                raise PosextError("its content does not match its hash")
            model_state, tensors = (
                load_file(path / "model.safetensors"),
                load_file(path / "optimizer.safetensors"),
            )
        except (OSError, ValueError, KeyError) as error:
            log.warning("skipping the damaged checkpoint %s: %s", path, error)
            continue
        set_model_state_dict(model, dict[str, Any](model_state), options=WHOLE)
        load_optimizer(model, optimizer, tensors)
        return state["step"]
    return 0


def name_of(step: int) -> str:
    return f"step-{step:08d}"


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The whole weights on the CPU of the main process; every process takes part."""
    state = cast(dict[str, torch.Tensor], get_model_state_dict(model, options=WHOLE))
    return {name: tensor.contiguous() for name, tensor in state.items()}


def optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """The optimizer's state by the parameter's name, as in "exp_avg.blocks.0.mlp.down.weight"; where weights are shared out,
    the main process has all of it and the others none."""
    state = cast(
        dict[str, Any], get_optimizer_state_dict(model, optimizer, options=WHOLE).get("state", {})
    )
    return {
        f"{key}.{name}": value for name, values in state.items() for key, value in values.items()
    }


def load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    state: dict[str, Any] = {name: {} for name, _ in model.named_parameters()}
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        state[name][part] = value
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]
    set_optimizer_state_dict(
        model, optimizer, {"state": state, "param_groups": groups}, options=WHOLE
    )
