"""A checkpoint as a run: a folder in results/runs with config.yaml, run.json and measurements.

The folder holds no weights; they are loaded from where the checkpoint lies.
"""

import json
import logging
import re
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import transformers
from accelerate import PartialState
from tokenizers import Tokenizer

from posext.config import DataConfig, EvaluateConfig, ModelConfig, SyntheticData, TrainConfig
from posext.data import dataset, tokenizer
from posext.data.dataset import MIN_DOCUMENTS
from posext.data.tokenizer import loaded
from posext.hf import load
from posext.hf.network import CheckpointPositions, Network, checkpoint_positions, rope_parameters
from posext.hf.start_token import StartToken, start_token
from posext.pe import PositionalEncoding, from_config
from posext.pe.rope import RoPE
from posext.runs.run import Run, claim, commit
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
DEFAULT_MULTIPLES = (0.5, 1, 2, 4)  # default context lengths, in original lengths
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
        return loaded(self.tokenizer_setting).to_str() == tokenizer.to_str()

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
        if "_target_" not in config.pe and not config.modifiers():
            return self.own_scheme
        if self.own_scheme.family != RoPE.family:
            raise PosextError(
                f"{self.path} has no rotary frequencies to replace: measure it without an extension"
            )
        shape = self.own_scheme.shape
        if not config.modifiers():
            scheme = from_config(config.pe, shape)
            plain_rotation = isinstance(scheme, RoPE) and type(scheme).rotation is RoPE.rotation
            if plain_rotation and 2 * len(cast(RoPE, scheme).frequencies(1)[0]) == shape.head_dim:
                return scheme
        raise PosextError(
            f"{self.path} can be given rotary frequencies, one a pair; "
            f"{config.title()} is more, or fewer"
        )

    def network(self, config: TrainConfig, vocab_size: int) -> Network:
        """Load the model under the scheme of a config; `vocab_size` is the model's own."""
        scheme = self.scheme(config)
        scheme.set_progress(trained_length=scheme.effective_length(self.trained_length))
        model = load.load_model(self.path, unscaled=scheme is not self.own_scheme)
        return Network(model, scheme, self.bos.index if self.bos else None)


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


def checkpoint_run_config(config: EvaluateConfig, path: str, hf_config: Any) -> TrainConfig:
    """Reconstruct the config of a run that would have left this checkpoint.

    Learning rates are unknown, and 0. Raises PosextError if the checkpoint does not tell its
    context length and `config.train_length` is not given.
    """
    length = config.train_length or original_length(hf_config)
    if not length:
        raise PosextError(
            f"the config of {path} does not say how long its contexts were: "
            "give train_length=TOKENS"
        )
    folder_name = Path(load.location(path)).resolve().name
    corpus = config.data
    if not isinstance(corpus, SyntheticData) and corpus.tokenizer == DataConfig.tokenizer:
        corpus = replace(corpus, tokenizer=path)
    corpus_name = Path(corpus.origin()).stem if corpus.origin() != corpus.source else ""
    name = "-".join(filter(None, (folder_name, corpus.source, corpus_name)))
    return TrainConfig(
        pe=scheme_settings(hf_config),
        model=model_settings(folder_name, path, hf_config),
        data=corpus,
        train_length=length,
        learning_rate=0.0,
        context_lengths=config.context_lengths,
        protocols=config.protocols,
        evaluation=config.evaluation,
        name=config.name or re.sub(r"[^\w.-]+", "_", name),
    )


def scheme_settings(hf_config: Any) -> dict[str, Any]:
    """Name a checkpoint's own scheme, with the rotary base if it has one."""
    rope = rope_parameters(hf_config)
    kind = rope.get("rope_type", "").replace("default", "rope")
    settings: dict[str, Any] = {"name": f"{hf_config.model_type} {kind}".strip()}
    if rope:
        settings["base"] = rope["rope_theta"]
    return settings


def model_settings(name: str, path: str, hf_config: Any) -> ModelConfig:
    text_config = hf_config.get_text_config()
    width = text_config.hidden_size
    return ModelConfig(
        name,
        n_layers=text_config.num_hidden_layers,
        n_heads=getattr(text_config, "num_attention_heads", 1),
        d_model=width,
        d_ff=getattr(text_config, "intermediate_size", None) or 4 * width,
        learning_rate=0.0,
        path=path,
    )


def original_length(hf_config: Any) -> int | None:
    """The context length (tokens) before any rotary scaling; None if the config has none."""
    text_config = hf_config.get_text_config()
    unscaled = rope_parameters(hf_config).get("original_max_position_embeddings")
    return unscaled or getattr(text_config, "max_position_embeddings", None)


def check_tokenizer(config: DataConfig, hf_config: Any) -> None:
    """Raise PosextError for a tokenizer that does not fit a model's vocabulary."""
    size = tokenizer.make(config.tokenizer, config.vocab_size, iter(())).get_vocab_size()
    vocab_size = hf_config.get_text_config().vocab_size
    if size > vocab_size or (isinstance(config, SyntheticData) and size != vocab_size):
        raise PosextError(
            f"data.tokenizer={config.tokenizer} has {size} tokens, "
            f"but the vocabulary of the model {vocab_size}"
        )


def default_lengths(original: int, tokens: dataset.Data, end: int | None) -> list[int]:
    """The context lengths of a checkpoint: half its original length to 4 times it.

    Args:
        original: the original length in tokens.
        tokens: the data; each length needs MIN_DOCUMENTS held-out documents.
        end: the last position of a learned table; None for no end.

    Raises:
        PosextError: too few documents are long enough for the shortest length.
    """
    held_out = sorted(tokens.validation.lengths.tolist())
    longest = held_out[-min(MIN_DOCUMENTS, len(held_out))] - 1
    lengths = [
        max(2, int(multiple * original))
        for multiple in DEFAULT_MULTIPLES
        if end is None or multiple * original <= end
    ]
    measurable = [length for length in lengths if length <= longest]
    if not measurable:
        raise PosextError(
            f"fewer than {MIN_DOCUMENTS} held-out documents have {lengths[0] + 1} tokens: "
            "give context_lengths, or other data"
        )
    if measurable != lengths:
        log.warning(
            "contexts of up to %d tokens: longer ones have fewer than %d held-out documents",
            measurable[-1],
            MIN_DOCUMENTS,
        )
    return measurable
