"""A checkpoint as a run: a folder in results/runs with config.yaml, run.json and measurements.

The folder holds no weights; they are loaded from where the checkpoint lies.
"""

import json
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import transformers
from accelerate import PartialState
from tokenizers import Tokenizer

from posext.config import EvaluateConfig, TrainConfig
from posext.data import dataset
from posext.data.tokenizer import loaded, reading_rules
from posext.hf import load
from posext.hf.attention import check_attention
from posext.hf.checkpoint_config import (
    check_tokenizer,
    checkpoint_run_config,
    default_lengths,
)
from posext.hf.network import CheckpointPositions, Network, checkpoint_positions, rope_parameters
from posext.hf.start_token import StartToken, start_token
from posext.pe import PositionalEncoding, from_config, settings_of
from posext.pe.rope import RoPE
from posext.runs.run import Run, claim
from posext.utils.atomic import write_text
from posext.utils.commit import commit
from posext.utils.errors import PosextError

RECORDED_SETTINGS = (
    "pe",
    "model",
    "data",
    "train_length",
    "context_lengths",
    "protocols",
    "evaluation",
    "learning_rate",
    "name",
    "results",
)


class Checkpoint(Run):
    """A model trained elsewhere.

    In its config `train_length` is the checkpoint's original length and `pe` its own scheme.
    """

    @property
    def path(self) -> str:
        """Where the weights lie."""
        return str(self.config.model.path)

    @property
    def weights_version(self) -> str:
        return load.weights_version(self.path, load.load_config(self.path))

    @property
    def tokenizer_setting(self) -> str:
        return str(self.config.model.path)

    def has_tokenizer(self, tokenizer: Tokenizer) -> bool:
        return reading_rules(loaded(self.tokenizer_setting)) == reading_rules(tokenizer)

    @cached_property
    def own_scheme(self) -> CheckpointPositions:
        skeleton = load.load_skeleton(str(self.config.model.path))
        return checkpoint_positions(skeleton, self.original_length)

    @cached_property
    def bos(self) -> StartToken | None:
        """The start-of-text token of its measurements.

        Raises PosextError if it is asked for, and the corpus has another tokenizer.
        """
        choice = self.config.evaluation.bos
        if self.config.data.tokenizer == self.tokenizer_setting:
            return start_token(self.tokenizer_setting, choice)
        if choice == "window":
            raise PosextError(
                f"evaluation.bos=window needs the tokenizer of {self.tokenizer_setting}, "
                f"not data.tokenizer={self.config.data.tokenizer}"
            )
        return None

    @property
    def start_of_windows(self) -> str:
        return self.bos.text if self.bos else ""

    def scheme(self, config: TrainConfig | None = None) -> PositionalEncoding:
        """Return the checkpoint's own scheme, or the scheme of another config for its network.

        Raises PosextError if that other scheme is anything but rotary frequencies for all its
        pairs, or if the checkpoint has no rotary frequencies to replace.
        """
        config = config or self.config
        settings = dict(config.pe)
        modifiers = config.modifiers()
        if "_target_" not in settings and not modifiers:
            return self.own_scheme
        if self.own_scheme.family != RoPE.family:
            raise PosextError(
                f"{self.path} has no rotary frequencies to replace: measure it without an extension"
            )
        if "_target_" not in settings:
            settings = self.own_rope()
        scheme = from_config(settings, self.own_scheme.shape, modifiers)
        plain_rotation = (
            isinstance(scheme, RoPE)
            and type(scheme).rotation is RoPE.rotation
            and scheme.make_layer_module() is None
        )
        pairs = self.own_scheme.shape.head_dim // 2
        if plain_rotation and len(cast(RoPE, scheme).frequencies(1)[0]) == pairs:
            return scheme
        raise PosextError(
            f"{self.path} can be given rotary frequencies, one a pair; "
            f"{config.title()} is more, or fewer"
        )

    def own_rope(self) -> dict[str, Any]:
        """The settings of the checkpoint's own frequencies as a scheme.

        Raises PosextError if they are scaled.
        """
        rope = rope_parameters(load.load_config(str(self.config.model.path)))
        if rope.get("rope_type", "default") != "default":
            raise PosextError(
                f"{self.path} scales its frequencies itself: name a scheme, +pe@extend=NAME, "
                "beside the window or temperature"
            )
        return {**settings_of("pe", "rope"), "base": rope["rope_theta"]}

    def network(self, config: TrainConfig, vocab_size: int) -> Network:
        """Load the model under the scheme of a config; `vocab_size` is the model's own."""
        scheme = self.scheme(config)
        scheme.set_progress(trained_length=scheme.effective_length(self.trained_length))
        model = load.load_model(self.path, unscaled=scheme is not self.own_scheme)
        network = Network(model, scheme, self.bos.index if self.bos else None)
        if modifiers := config.modifiers():
            plain = replace(config, **dict.fromkeys(modifiers))
            pe = plain.pe if "_target_" in plain.pe else self.own_rope()
            check_attention(network, self.scheme(replace(plain, pe=pe)), self.original_length)
        return network


def prepare_checkpoint(config: EvaluateConfig) -> tuple[Checkpoint, dataset.Data]:
    """Claim the run folder of a checkpoint, and record all that measuring it again needs.

    Call on every process; the main one writes the folder.

    Args:
        config: the config of `posext evaluate` with `model.path`.

    Returns:
        The checkpoint as a run, and its corpus.

    Raises:
        PosextError: the checkpoint cannot be measured, or the folder holds another checkpoint, or
            measurements on other data.
    """
    path = str(config.model["path"])
    hf_config = load.load_config(path)
    run_config = checkpoint_run_config(config, path, hf_config)
    run_config.check()
    check_tokenizer(run_config.data, hf_config)
    skeleton = load.load_skeleton(path)
    state = PartialState()
    with state.main_process_first():
        tokens = dataset.load_data(run_config.data, state.is_main_process)
    if run_config.context_lengths is None:
        end = checkpoint_positions(skeleton, run_config.train_length).max_length
        run_config.context_lengths = default_lengths(run_config.train_length, tokens, end)
    run = Checkpoint(Path(run_config.results) / str(run_config.name), run_config)
    metadata = {
        "parameters": sum(parameter.numel() for parameter in skeleton.parameters()),
        "original_length": run_config.train_length,
        "trained_length": run_config.train_length,
        "scheme": rope_parameters(hf_config),
        "data": tokens.fingerprint,
        "weights": load.weights_version(path, hf_config),
        "bos": run.start_of_windows,
        "commit": commit(),
        "transformers": transformers.__version__,
    }
    claim_folder(run, metadata, state)
    return run, tokens


def claim_folder(run: Checkpoint, metadata: dict[str, Any], state: PartialState) -> None:
    """Write the config and metadata of a checkpoint into its folder, on the main process.

    Raises PosextError if the folder was measured with other data, weights or start token.
    """
    for key in ("data", "weights", "bos"):
        if run.trained and run.metadata().get(key, "") != metadata[key]:
            raise PosextError(f"the {key} of {run.folder} are other ones now; choose another name=")
    settings = asdict(run.config)
    claim(run, {key: settings[key] for key in RECORDED_SETTINGS}, state.is_main_process)
    if state.is_main_process:
        write_text(run.folder / "run.json", json.dumps(metadata, indent=2) + "\n")
    state.wait_for_everyone()
