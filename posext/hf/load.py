"""Causal language models of transformers, from a folder or the hub: safetensors only, and no code but the library's."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from posext.utils.atomic import digest
from posext.utils.errors import PosextError


def settings(path: str) -> Any:
    """The config of a checkpoint. Raises PosextError where there is none that can be loaded."""
    folder = Path(path).expanduser()
    if not folder.is_dir() and (
        folder.exists() or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", path)
    ):
        raise PosextError(f"model.path={path} is no folder, nor could it be an id on the hub")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise PosextError(
            f"model.path={path} is no checkpoint of transformers: it has no config.json"
        )
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        raise PosextError(
            f"model.path={path} holds no .safetensors; other formats can hold code and are not loaded"
        )
    return called(path, AutoConfig.from_pretrained, place(path), trust_remote_code=False)


def skeleton(path: str) -> Any:
    """A checkpoint's model without its weights. Raises PosextError where it is no causal language model."""
    with torch.device("meta"):
        return called(
            path, AutoModelForCausalLM.from_config, settings(path), trust_remote_code=False
        )


def model(path: str, unscaled: bool = False) -> Any:
    """A checkpoint's model in float32, with its rotary scaling or without.

    Raises PosextError where weights are missing, or later tokens act on earlier ones.
    """
    logging.disable_progress_bar()
    config = settings(path)
    if unscaled:
        text = config.get_text_config()
        text.rope_parameters = {**text.rope_parameters, "rope_type": "default"}
    how = {
        "dtype": torch.float32,
        "use_safetensors": True,
        "trust_remote_code": False,
        "output_loading_info": True,
    }
    loaded, found = called(
        path, AutoModelForCausalLM.from_pretrained, place(path), config=config, **how
    )
    if missing := sorted(found["missing_keys"]):
        raise PosextError(
            f"model.path={path} lacks {len(missing)} of its weights, among them {missing[0]}"
        )
    with torch.no_grad():
        one, other = loaded.eval()(torch.tensor([[0, 1, 0, 0], [0, 1, 1, 1]])).logits[:, :2]
    if not torch.allclose(one, other, atol=1e-5, rtol=1e-5):
        raise PosextError(
            f"model.path={path} is no causal model: its logits hang on tokens that come later"
        )
    return loaded


def version(path: str, config: Any) -> str:
    """What tells the weights of a checkpoint from others at the same place: their digest, or the commit on the hub."""
    files = sorted(Path(path).expanduser().glob("*.safetensors"))
    return " ".join(digest(file) for file in files) or str(getattr(config, "_commit_hash", ""))


def place(path: str) -> str:
    folder = Path(path).expanduser()
    return str(folder) if folder.is_dir() else path


def called(path: str, load: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
    """What one of transformers' loaders returns. Raises what it raises as ValueError in one sentence."""
    try:
        return load(*arguments, **how)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        if "trust_remote_code" in str(error):
            raise PosextError(
                f"model.path={path} needs code of its own, which is never run"
            ) from error
        where = (
            ""
            if Path(path).expanduser().is_dir()
            else " is no folder, and not to be had from the hub"
        )
        raise PosextError(
            f"model.path={path}{where}: {(str(error).splitlines() or [''])[0]}"
        ) from error
