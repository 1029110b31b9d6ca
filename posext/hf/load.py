"""Loading of causal language models of transformers, from a folder or the Hub.

Only safetensors are read, and only code of the transformers library runs.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from posext.hf.network import rope_parameters, set_rope_parameters
from posext.utils.atomic import digest
from posext.utils.errors import PosextError

MODEL_ID = r"\w[\w.-]*(/\w[\w.-]*)?"


def load_config(path: str) -> Any:
    """Load the config of a checkpoint.

    Args:
        path: a folder, or an id on the Hub.

    Raises:
        PosextError: there is no checkpoint at `path` that can be loaded.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir() and (folder.exists() or not re.fullmatch(MODEL_ID, path)):
        raise PosextError(f"model.path={path} is no folder, nor could it be an id on the hub")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise PosextError(
            f"model.path={path} is no checkpoint of transformers: it has no config.json"
        )
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        raise PosextError(
            f"model.path={path} holds no .safetensors; "
            "other formats can hold code and are not loaded"
        )
    return call_loader(path, AutoConfig.from_pretrained, location(path), trust_remote_code=False)


def load_skeleton(path: str) -> Any:
    """Build a checkpoint's model on the meta device, without its weights.

    Raises PosextError unless the checkpoint is a causal language model.
    """
    with torch.device("meta"):
        return call_loader(
            path, AutoModelForCausalLM.from_config, load_config(path), trust_remote_code=False
        )


def load_model(path: str, unscaled: bool = False) -> Any:
    """Load a checkpoint's model in float32.

    Args:
        path: a folder, or an id on the Hub.
        unscaled: drop the rotary scaling of the checkpoint's config.

    Raises:
        PosextError: weights are missing, or later tokens act on earlier ones.
    """
    logging.disable_progress_bar()
    config = load_config(path)
    if unscaled:
        set_rope_parameters(config, {**rope_parameters(config), "rope_type": "default"})
    model, loading_info = call_loader(
        path,
        AutoModelForCausalLM.from_pretrained,
        location(path),
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    if missing := sorted(loading_info["missing_keys"]):
        raise PosextError(
            f"model.path={path} lacks {len(missing)} of its weights, among them {missing[0]}"
        )
    check_causal(path, model.eval())
    return model


def check_causal(path: str, model: Any) -> None:
    """Raise PosextError if the logits of two positions depend on the token after them."""
    with torch.no_grad():
        first, second = model(torch.tensor([[0, 1, 0, 0], [0, 1, 1, 1]])).logits[:, :2]
    if not torch.allclose(first, second, atol=1e-5, rtol=1e-5):
        raise PosextError(
            f"model.path={path} is no causal model: its logits hang on tokens that come later"
        )


def weights_version(path: str, config: Any) -> str:
    """Identify the weights of a checkpoint: digests of its files, or the commit on the Hub."""
    files = sorted(Path(path).expanduser().glob("*.safetensors"))
    return " ".join(digest(file) for file in files) or str(getattr(config, "_commit_hash", ""))


def location(path: str) -> str:
    """Expand a folder's home directory; leave an id on the Hub as it is."""
    folder = Path(path).expanduser()
    return str(folder) if folder.is_dir() else path


def call_loader(path: str, loader: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call a loader of transformers.

    Returns the loader's result. Turns its errors into a PosextError of one sentence.
    """
    try:
        return loader(*arguments, **keywords)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        if "trust_remote_code" in str(error):
            raise PosextError(
                f"model.path={path} needs code of its own, which is never run"
            ) from error
        is_folder = Path(path).expanduser().is_dir()
        not_there = "" if is_folder else " is no folder, and not to be had from the hub"
        first_line = (str(error).splitlines() or [""])[0]
        raise PosextError(f"model.path={path}{not_there}: {first_line}") from error
