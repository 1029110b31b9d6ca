"""What the config and the tokenizer of a checkpoint say of a run that would have left it."""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from posext.config import DataConfig, EvaluateConfig, ModelConfig, SyntheticData, TrainConfig
from posext.data import dataset, tokenizer
from posext.data.split import MIN_DOCUMENTS
from posext.hf import load
from posext.hf.network import rope_parameters
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
DEFAULT_MULTIPLES = (0.5, 1, 2, 4)  # default context lengths, in original lengths


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
