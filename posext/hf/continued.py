"""Checkpoints of transformers that are trained further here: `init=FOLDER_OR_ID`.

What is left in the folder of the run, `model/`, transformers loads alone.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from posext.config import EvaluateConfig, TrainConfig
from posext.hf import load
from posext.hf.checkpoint import Checkpoint
from posext.hf.checkpoint_config import check_tokenizer, checkpoint_run_config
from posext.hf.export import ROPE_SETTINGS
from posext.hf.lora import add_lora, merged
from posext.hf.network import Network, decoder, rope_parameters, set_rope_parameters
from posext.pe.rope import RoPE
from posext.runs.inheritance import touches
from posext.runs.run import Run
from posext.utils.errors import PosextError
from posext.utils.rng import torch_stream

MODEL = "model"  # the folder of the continued checkpoint inside that of the run
# Defaults of a continued checkpoint: YaRN's steps and learning rate (Peng et al. 2023, section 4.1)
STEPS = 400
LEARNING_RATE = 2e-5


class ContinuedCheckpoint(Checkpoint):
    """A checkpoint after training here; in its config `pe` is the scheme of that training."""

    @property
    def path(self) -> str:
        return str(self.folder / MODEL)


class Untouched(Checkpoint):
    """A checkpoint as it is, as the parent of a run."""

    @property
    def steps_done(self) -> int:
        return 0


def untouched(config: TrainConfig, path: str) -> Untouched:
    """Describe the checkpoint that a run is to start from.

    Raises PosextError if it cannot be loaded, or does not tell its context length and
    `original_length` is not given.
    """
    if config.init.optimizer or config.init.checkpoint:
        raise PosextError(
            f"init={path} is a checkpoint of transformers, "
            "and init.optimizer=true and init.checkpoint go with a run trained here"
        )
    asked = EvaluateConfig(
        model={"path": path},
        data=config.data,
        train_length=config.original_length,
        evaluation=config.evaluation,
    )
    try:
        hf_config = load.load_config(path)
        run_config = checkpoint_run_config(asked, path, hf_config)
        check_tokenizer(run_config.data, hf_config)
    except PosextError as error:
        raise PosextError(str(error).replace("model.path=", "init=")) from error
    return Untouched(Path(config.results) / str(run_config.name), run_config)


def with_defaults(config: TrainConfig, parent: Run, chosen: Collection[str]) -> TrainConfig:
    """Fill in what the shares of an unknown training cannot give.

    Raises PosextError for a scheme that transformers has no form of.
    """
    changes: dict[str, Any] = {}
    if isinstance(parent, Untouched):
        defaults = {"steps": STEPS, "learning_rate": LEARNING_RATE}
        changes = {key: value for key, value in defaults.items() if not touches(key, chosen)}
    if not config.context_lengths:
        longest = config.train_length * config.length.stages[-1].multiple
        lengths = [max(2, parent.original_length // 2)]
        while lengths[-1] < 2 * longest:
            lengths.append(2 * lengths[-1])
        changes["context_lengths"] = lengths
    continued = replace(config, **changes)
    continued.model = replace(config.model, learning_rate=continued.learning_rate)
    child = ContinuedCheckpoint(parent.folder, continued)
    rope_of(child, child.schedule.longest)
    return continued


def rope_of(run: Run, trained_length: int) -> dict[str, Any] | None:
    """Return the config settings with which transformers turns as a run's scheme does.

    A factor that follows the training length is that of `trained_length` tokens. None for the
    checkpoint's own scheme. Raises PosextError if transformers has no such form.
    """
    if run.config.modifiers():
        raise PosextError(f"transformers has no form of {run.config.title()}, with its modifiers")
    scheme = run.scheme()
    if not isinstance(scheme, RoPE):
        return None
    scheme.set_progress(trained_length=scheme.effective_length(trained_length))
    make_settings = ROPE_SETTINGS.get(type(scheme))
    settings = make_settings(scheme) if make_settings else None
    if settings is None:
        raise PosextError(f"transformers has no form of {run.config.title()} as it is set")
    return settings


def starting_checkpoint(run: Run, parent: Run) -> Network:
    """Load the network of a run as its parent left it, without dropout.

    Dropout would make a step depend on more than its number.
    """
    assert isinstance(parent, Checkpoint)
    scheme = run.scheme()
    model = load.load_model(parent.path, unscaled=isinstance(scheme, RoPE)).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010
    if run.config.activation_checkpointing:
        former = model.gradient_checkpointing_enable  # the name of earlier versions
        getattr(model, "activation_checkpointing_enable", former)({"use_reentrant": False})
    if run.config.init.lora_rank is not None:
        with torch_stream(run.config.seed, "lora"):
            add_lora(model, run.config.init.lora_rank)
    network = Network(model, scheme)
    check_head(network)
    return network


@torch.no_grad()
def check_head(network: Network) -> None:
    """Raise PosextError if the chunked loss would not be that of the model's own logits."""
    tokens = torch.tensor([[0, 1, 2, 3]])
    own = network(tokens)
    ours = network.head(decoder(network.model)(tokens).last_hidden_state)
    if not torch.allclose(own, ours.float(), atol=1e-4, rtol=1e-4):
        raise PosextError(
            f"the head of {network.model.config.model_type} does more than this version knows of, "
            "so such a checkpoint can be measured, but not trained"
        )


def write_checkpoint(
    run: Run, folder: Path, weights: dict[str, Tensor], trained_length: int
) -> str:
    """Write a continued checkpoint as transformers does, with its rotary settings.

    Args:
        run: The run.
        folder: The folder that receives `model/`.
        weights: The weights of its network, by parameter name.
        trained_length: The longest training length so far, in tokens.

    Returns:
        What identifies the weights.
    """
    path = str(run.config.model.path)
    model = load.load_skeleton(path)
    if (settings := rope_of(run, trained_length)) is not None:
        kept = {"partial_rotary_factor": rope_parameters(model.config).get("partial_rotary_factor")}
        kept = {key: value for key, value in kept.items() if value is not None}
        set_rope_parameters(model.config, {**kept, **settings.pop("rope_parameters")})
        text_config = model.config.get_text_config()
        reached = run.scheme().effective_length(trained_length)
        longest = max(text_config.max_position_embeddings, reached)
        text_config.update({"max_position_embeddings": longest, **settings})
    own = {name.removeprefix("model."): tensor for name, tensor in merged(weights).items()}
    model.save_pretrained(folder / MODEL, state_dict=own)
    AutoTokenizer.from_pretrained(load.location(path)).save_pretrained(folder / MODEL)
    return load.weights_version(str(folder / MODEL), model.config)
