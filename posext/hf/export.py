"""The way out: a trained run as a LlamaForCausalLM of transformers, with its tokenizer and its scheme's rotary settings."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from posext.hf.checkpoint import Checkpoint
from posext.model.gpt import GPT, NORM_EPSILON
from posext.model.llama_weights import to_llama
from posext.pe import PositionalEncoding, class_of, names, settings_of
from posext.runs.run import Run
from posext.utils.errors import PosextError

ROWS = 64  # last positions whose logits are compared
MOST = 1e-3  # of the largest logit: transformers makes phases in float32, 1e-7 a token off


def export(run: Run, folder: Path, length: int | None = None) -> LlamaForCausalLM:
    """Write a run into a new folder, for contexts of up to `length` tokens (None: the longest length trained).

    A factor that follows the context is fixed at what that length asks. Raises PosextError for a run that is no trained Llama,
    or whose scheme transformers does not know, and unless both networks give the same logits.
    """
    if isinstance(run, Checkpoint) or not run.trained:
        raise PosextError(
            f"{run.folder} is not a run that was trained to its end here: it has no weights to export"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PosextError(f"{folder} is not an empty folder")
    state = load_file(run.folder / "model.safetensors")
    ours: GPT = run.network(run.config, len(state["embedding.weight"])).eval()
    trained = ours.pe.trained_length
    if length is not None and length < trained:
        raise PosextError(
            f"the length must be at least {trained}, the longest trained, not {length}"
        )
    ours.pe.set_progress(trained_length=length or trained)
    theirs = LlamaForCausalLM(config_of(run, ours)).eval()
    theirs.load_state_dict(to_llama(state, run.config.model.n_layers))
    compare(ours, theirs, sorted({run.config.train_length, length or trained}), run.config.title())
    theirs.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return theirs


def config_of(run: Run, model: GPT) -> LlamaConfig:
    """The config of the same network. Raises PosextError where transformers' Llama has no such positions."""
    settings, shape = settings_of_llama(model.pe), run.config.model
    beside = [
        f"{group}={axis['name']}"
        for group, axis in run.config.modifiers().items()
        if group != "position_ids"
    ]
    if settings is None or beside:
        raise PosextError(
            f"transformers' Llama has no form of {' '.join(beside) or run.config.title()} as set in {run.folder}; "
            f"it has one of {', '.join(known())}, with nothing beside them"
        )
    common: dict[str, Any] = {
        "vocab_size": model.embedding.num_embeddings,
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_heads,
        "max_position_embeddings": model.pe.trained_length,
        "rms_norm_eps": NORM_EPSILON,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": None,  # else 1 and 2, which are ordinary tokens here
        "eos_token_id": None,
        "dtype": "float32",
    }
    return LlamaConfig(**{**common, **settings})


def settings_of_llama(scheme: PositionalEncoding) -> dict[str, Any] | None:
    own = vars(type(scheme)).get("llama_settings")
    return own(scheme) if own else None


def known() -> list[str]:
    """The schemes that transformers' Llama has a form of."""
    return [
        name
        for name in names()
        if "llama_settings"
        in vars(class_of(settings_of("pe", name)["_target_"], PositionalEncoding))
    ]


@torch.inference_mode()
def compare(ours: GPT, theirs: LlamaForCausalLM, lengths: list[int], title: str) -> None:
    """Raise PosextError unless both networks give the same logits in contexts of these lengths (tokens)."""
    for length in lengths:
        tokens = torch.randint(
            ours.embedding.num_embeddings, (1, length), generator=torch.Generator().manual_seed(0)
        )
        logits, others = ours(tokens, last=ROWS), theirs(tokens, logits_to_keep=ROWS).logits
        apart = float((logits - others).abs().max() / logits.abs().max())
        if not apart <= MOST:
            rope = theirs.config.rope_parameters
            raise PosextError(
                f"{title} at {length} tokens is not what transformers' Llama makes of {rope}: {apart:.1e} apart"
            )
