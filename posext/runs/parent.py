"""The parent of a run: the run whose weights it starts from."""

import logging
from pathlib import Path

import torch
from torch import nn

from posext.config import InitConfig
from posext.data.batch import Corpus
from posext.model.gpt import GPT, belongs_to_scheme
from posext.runs.naming import kept_folder
from posext.runs.run import OPTIMIZER, Run
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)


def parent_folder(init: InitConfig) -> Path:
    """Return the folder of the run that `init` names, or that of the checkpoint it kept.

    Raises PosextError if there is no such run, or it lacks the optimizer that is asked for.
    """
    folder = Path(str(init.path)).expanduser()
    if not (folder / "config.yaml").is_file():
        raise PosextError(f"init={init.path} is not the folder of a run: it has no config.yaml")
    if init.checkpoint is not None:
        folder = kept_folder(folder, init.checkpoint)
    if not (folder / "run.json").is_file():
        raise PosextError(
            f"init={init.path} is not trained to its end yet: run its training command again"
        )
    if init.optimizer and not (folder / OPTIMIZER).is_file():
        raise PosextError(
            f"init.optimizer=true needs {folder / OPTIMIZER}, "
            "which training leaves there with keep_every=STEPS"
        )
    return folder


def check_parent(run: Run, parent: Run, tokens: Corpus) -> None:
    """Check that a run can start from its parent's weights, before anything is written.

    Raises PosextError if the weights have changed since the run began, the tokenizers differ, or
    the run would be trained on shorter contexts than its parent.
    """
    if parent.weights_version != run.config.init.weights:
        raise PosextError(
            f"the weights of init={parent.folder} have changed since {run.name} began"
        )
    own = run.effective_length
    before = parent.effective_length
    if own < before:
        raise PosextError(
            f"init={parent.folder} was trained to {before} tokens, and this run ends at {own}: "
            f"give train_length={before} or more"
        )
    if not parent.has_tokenizer(tokens.tokenizer):
        raise PosextError(
            f"init={parent.folder} has another vocabulary than data.tokenizer="
            f"{run.config.data.tokenizer} makes of this corpus; leave data.tokenizer out"
        )


def load_weights(model: GPT, parent: Run) -> None:
    """Load the weights of a parent into the network of a run.

    A parameter of the scheme is loaded if the parent has it in a module of the same kind. What the
    scheme adds stays as it was initialized, what it drops is left out; both are logged.
    """
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
