"""A checkpoint as a run: a folder in results/runs with config.yaml and run.json, and what measuring leaves; no weights."""

import json
import logging
import re
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import transformers
from accelerate import PartialState

from posext.config import SYNTHETIC_SOURCES, DataConfig, EvaluateConfig, ModelConfig, TrainConfig
from posext.data import dataset, tokenizer
from posext.data.dataset import MIN_DOCUMENTS
from posext.hf import load
from posext.hf.network import AsItIs, Network, as_it_is, rope_parameters
from posext.pe import PositionalEncoding, from_config
from posext.pe.rope import RoPE
from posext.runs.run import Run, claim, commit
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
MULTIPLES = (
    0.5,
    1,
    2,
    4,
)  # of the original length: where a checkpoint is measured unless told otherwise
RECORDED = (
    "pe", "model", "data", "train_length", "context_lengths", "protocols", "evaluation", "learning_rate", "name", "results",
)  # fmt: skip


class Checkpoint(Run):
    """A model that others trained. `train_length` is its original length and `pe` what it comes with."""

    @property
    def path(self) -> str:
        return str(self.config.model.path)

    @cached_property
    def own(self) -> AsItIs:
        return as_it_is(load.skeleton(self.path), self.config.train_length)

    def scheme(self, config: TrainConfig | None = None) -> PositionalEncoding:
        """What the checkpoint comes with, or the scheme of another config for its network.

        Raises PosextError where that is anything but rotary frequencies for all its pairs, or the checkpoint has none.
        """
        if config is None or (config.pe, config.modifiers()) == (
            self.config.pe,
            self.config.modifiers(),
        ):
            return self.own
        if self.own.family != RoPE.family:
            raise PosextError(
                f"{self.path} has no rotary frequencies to replace: measure it without an extension"
            )
        if not config.modifiers():
            scheme = from_config(config.pe, self.own.shape)
            alone = isinstance(scheme, RoPE) and type(scheme).rotation is RoPE.rotation
            if alone and 2 * len(cast(RoPE, scheme).frequencies(1)[0]) == self.own.shape.head_dim:
                return scheme
        raise PosextError(
            f"{self.path} can be given rotary frequencies, one a pair; {config.title()} is more, or fewer"
        )

    def network(self, config: TrainConfig, vocab_size: int) -> Network:
        """The model, which loads its weights from where they are, under the scheme of a config."""
        scheme = self.scheme(config)
        return Network(load.model(self.path, unscaled=scheme is not self.own), scheme)


def prepare_checkpoint(config: EvaluateConfig) -> Checkpoint:
    """The folder of a checkpoint on some data, with all that is needed to measure it again.

    Raises PosextError for what cannot be measured, and where the folder holds another checkpoint, or other data.
    """
    path = str(config.model["path"])
    described = load.settings(path)
    measured = as_trained(config, path, described)
    measured.check()
    check_tokenizer(measured.data, described)
    skeleton = load.skeleton(path)
    state = PartialState()
    with state.main_process_first():
        tokens = dataset.load_data(measured.data, state.is_main_process)
    if measured.context_lengths is None:
        end = as_it_is(skeleton, measured.train_length).max_length
        measured.context_lengths = context_lengths(measured.train_length, tokens, end)
    run = Checkpoint(Path(measured.results) / str(measured.name), measured)
    record = {
        "parameters": sum(parameter.numel() for parameter in skeleton.parameters()),
        "original_length": measured.train_length,
        "trained_length": measured.train_length,
        "scheme": rope_parameters(described),
        "data": tokens.fingerprint,
        "weights": load.version(path, described),
        "commit": commit(),
        "transformers": transformers.__version__,
    }
    for key in ("data", "weights"):
        if run.trained and run.metadata()[key] != record[key]:
            raise PosextError(f"the {key} of {run.folder} are other ones now; choose another name=")
    claim(run, {key: asdict(measured)[key] for key in RECORDED}, state.is_main_process)
    if state.is_main_process:
        write_text(run.folder / "run.json", json.dumps(record, indent=2) + "\n")
    state.wait_for_everyone()
    return run


def as_trained(config: EvaluateConfig, path: str, described: Any) -> TrainConfig:
    """The config of a run that would have left this checkpoint, as far as it tells. Learning rates of 0 are unknown ones."""
    text, rope = described.get_text_config(), rope_parameters(described)
    length = config.train_length or original_length(described)
    if not length:
        raise PosextError(
            f"the config of {path} does not say how long its contexts were: give train_length=TOKENS"
        )
    kind = rope.get("rope_type", "").replace("default", "rope")
    width, last, corpus = text.hidden_size, Path(load.place(path)).resolve().name, config.data
    shape = {
        "n_layers": text.num_hidden_layers,
        "n_heads": getattr(text, "num_attention_heads", 1),
        "d_model": width,
        "d_ff": getattr(text, "intermediate_size", None) or 4 * width,
    }
    if corpus.source not in SYNTHETIC_SOURCES and corpus.tokenizer == DataConfig.tokenizer:
        corpus = replace(corpus, tokenizer=path)
    name = "-".join(filter(None, (last, corpus.source, Path(corpus.path or "").stem)))
    return TrainConfig(
        pe={
            "name": f"{described.model_type} {kind}".strip(),
            **({"base": rope["rope_theta"]} if rope else {}),
        },
        model=ModelConfig(last, **shape, learning_rate=0.0, path=path),
        data=corpus,
        train_length=length,
        learning_rate=0.0,
        context_lengths=config.context_lengths,
        protocols=config.protocols,
        evaluation=config.evaluation,
        name=config.name or re.sub(r"[^\w.-]+", "_", name),
    )


def original_length(described: Any) -> int | None:
    """The context length (tokens) before any rotary scaling, as far as a config tells."""
    text = described.get_text_config()
    before = rope_parameters(described).get("original_max_position_embeddings")
    return before or getattr(text, "max_position_embeddings", None)


def check_tokenizer(config: DataConfig, described: Any) -> None:
    """Raise PosextError for a tokenizer that does not fit a model's vocabulary."""
    size = tokenizer.make(config.tokenizer, config.vocab_size, iter(())).get_vocab_size()
    has = described.get_text_config().vocab_size
    if size > has or (config.source in SYNTHETIC_SOURCES and size != has):
        raise PosextError(
            f"data.tokenizer={config.tokenizer} has {size} tokens, but the vocabulary of the model {has}"
        )


def context_lengths(original: int, tokens: dataset.Data, end: int | None) -> list[int]:
    """Half the original length up to 4 times it, as far as learned positions and enough held-out documents go.

    Raises PosextError where not even the first does.
    """
    held_out = sorted(tokens.validation.lengths.tolist())
    longest = held_out[-min(MIN_DOCUMENTS, len(held_out))] - 1
    lengths = [
        max(2, int(multiple * original))
        for multiple in MULTIPLES
        if end is None or multiple * original <= end
    ]
    kept = [length for length in lengths if length <= longest]
    if not kept:
        raise PosextError(
            f"fewer than {MIN_DOCUMENTS} held-out documents have {lengths[0] + 1} tokens: give context_lengths, or other data"
        )
    if kept != lengths:
        log.warning(
            "contexts of up to %d tokens: longer ones have fewer than %d held-out documents",
            kept[-1],
            MIN_DOCUMENTS,
        )
    return kept
