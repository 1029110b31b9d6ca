"""The parent of a run: the run whose weights it starts from."""

import logging
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from posext.config import InitConfig
from posext.data.dataset import Data
from posext.model.gpt import GPT, belongs_to_scheme
from posext.runs.naming import kept_folder
from posext.runs.run import OPTIMIZER, Run, load_run
from posext.utils.atomic import digest
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)


def open_parent(init: InitConfig) -> Run:
    """Open the run that `init` names, or the checkpoint that its `keep_every` kept.

    Raises PosextError if it is no run, is not trained, or lacks the optimizer that is asked for.
    """
    folder = Path(str(init.path))
    if not (folder / "config.yaml").is_file():
        raise PosextError(f"init={init.path} is not the folder of a run: it has no config.yaml")
    if init.checkpoint is not None:
        folder = kept_folder(folder, init.checkpoint)
    parent = load_run(folder)
    if parent.config.model.path is not None:
        raise PosextError(f"init={init.path} is a measured checkpoint, and holds no weights")
    if not parent.trained:
        raise PosextError(
            f"init={init.path} is not trained to its end yet: run its training command again"
        )
    if init.optimizer and not (parent.folder / OPTIMIZER).is_file():
        raise PosextError(
            f"init.optimizer=true needs {parent.folder / OPTIMIZER}, "
            "which training leaves there with keep_every=STEPS"
        )
    return parent


def check_parent(run: Run, tokens: Data) -> None:
    """Check that a run can start from its parent's weights, before anything is written.

    Raises PosextError if the tokenizers differ, or if the run would be trained on shorter contexts
    than its parent.
    """
    parent = open_parent(run.config.init)
    own = run.effective_length
    before = parent.effective_length
    if own < before:
        raise PosextError(
            f"init={parent.folder} was trained to {before} tokens, and this run ends at {own}: "
            f"give train_length={before} or more"
        )
    text = tokens.tokenizer.to_str(pretty=True)
    if text != (parent.folder / "tokenizer.json").read_text():
        raise PosextError(
            f"init={parent.folder} has another vocabulary than data.tokenizer="
            f"{run.config.data.tokenizer} makes of this corpus; leave data.tokenizer out"
        )


def load_weights(model: GPT, run: Run) -> None:
    """Load the weights of a run's parent into its network.

    A parameter of the scheme is loaded if the parent has it in a module of the same kind. What the
    scheme adds stays as it was initialized, what it drops is left out; both are logged.

    Raises PosextError if the parent's weights have changed since the run began.
    """
    parent = open_parent(run.config.init)
    file = parent.folder / "model.safetensors"
    if digest(file) != run.config.init.weights:
        raise PosextError(
            f"the weights of init={parent.folder} have changed since {run.name} began"
        )
    stored = parent.weights()
    vocab_size = stored["embedding.weight"].shape[0]
    scheme = parent.scheme()
    with torch.device("meta"):
        before = GPT(parent.config.model, vocab_size, scheme)
    current = model.state_dict()
    kept = {
        name: tensor
        for name, tensor in stored.items()
        if not belongs_to_scheme(name) or same_parameter(name, before, model)
    }
    added = sorted(name for name in current if belongs_to_scheme(name) and name not in kept)
    model.load_state_dict(kept | {name: current[name] for name in added})
    if added:
        log.warning("init: not in the parent, so initialized: %s", in_words(added))
    if dropped := sorted(stored.keys() - kept.keys()):
        log.warning("init: in the parent, but not here, so left out: %s", in_words(dropped))


def same_parameter(name: str, before: nn.Module, now: nn.Module) -> bool:
    """Return whether two networks have a parameter of a name, shape, and kinds of modules."""
    one = before.state_dict().get(name)
    other = now.state_dict().get(name)
    if one is None or other is None or one.shape != other.shape:
        return False
    return kinds(name, before) == kinds(name, now)


def kinds(name: str, network: nn.Module) -> list[type]:
    """Return the classes of the modules that hold a parameter, from outside to inside."""
    path = name.split(".")[:-1]
    return [type(network.get_submodule(".".join(path[: i + 1]))) for i in range(len(path))]


def in_words(names: list[str]) -> str:
    """Name a few parameters, and count the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def optimizer_tensors(run: Run) -> dict[str, Tensor]:
    """Load the state of the parent's optimizer, as `checkpoint.optimizer_tensors` names it."""
    return load_file(open_parent(run.config.init).folder / OPTIMIZER)
