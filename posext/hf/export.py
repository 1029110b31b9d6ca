"""Export of a trained run as a LlamaForCausalLM of transformers, with its tokenizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from posext.hf.checkpoint import Checkpoint
from posext.model.gpt import GPT
from posext.model.llama_weights import to_llama
from posext.model.norm import NORM_EPSILON
from posext.pe import PositionalEncoding, class_of, names, settings_of
from posext.pe.dynamic_ntk import DynamicNTK
from posext.pe.linear import Linear
from posext.pe.llama3 import Llama3
from posext.pe.longrope import LongRoPE
from posext.pe.ntk import NTK
from posext.pe.ntk_by_parts import NTKByParts
from posext.pe.proportional import Proportional
from posext.pe.rope import RoPE
from posext.pe.yarn import YaRN
from posext.runs.run import Run
from posext.utils.errors import PosextError

COMPARED_POSITIONS = 64  # last positions whose logits are compared
# Share of the largest logit; transformers computes phases in float32, 1e-7 a token off.
MAX_LOGIT_DIFFERENCE = 1e-3


def rope_settings(scheme: RoPE) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": scheme.base}}


def linear_settings(scheme: Linear) -> dict[str, Any]:
    rope = {
        "rope_type": "linear",
        "rope_theta": scheme.base,
        "factor": scheme.scale(scheme.trained_length),
    }
    return {"rope_parameters": rope}


def ntk_settings(scheme: NTK) -> dict[str, Any]:
    base = scheme.scaled_base(scheme.trained_length)
    return {"rope_parameters": {"rope_type": "default", "rope_theta": base}}


def dynamic_ntk_settings(scheme: DynamicNTK) -> dict[str, Any]:
    rope = {"rope_type": "dynamic", "rope_theta": scheme.base, "factor": scheme.hf_factor}
    # transformers counts the factor from max_position_embeddings
    return {"rope_parameters": rope, "max_position_embeddings": scheme.shape.original_length}


def yarn_settings(scheme: YaRN) -> dict[str, Any] | None:
    if scheme.ramp_over != "index":
        return None
    rope = {
        "rope_type": "yarn",
        "rope_theta": scheme.base,
        "factor": scheme.scale(scheme.trained_length),
        "original_max_position_embeddings": scheme.shape.original_length,
        "beta_fast": scheme.beta_fast,
        "beta_slow": scheme.beta_slow,
        "truncate": scheme.truncate,
        "attention_factor": scheme.temperature(scheme.trained_length),
    }
    return {"rope_parameters": rope}


def llama3_settings(scheme: NTKByParts) -> dict[str, Any]:
    rope = {
        "rope_type": "llama3",
        "rope_theta": scheme.base,
        "factor": scheme.scale(scheme.trained_length),
        "original_max_position_embeddings": scheme.shape.original_length,
        "low_freq_factor": scheme.beta_slow,
        "high_freq_factor": scheme.beta_fast,
    }
    return {"rope_parameters": rope}


def proportional_settings(scheme: Proportional) -> dict[str, Any]:
    rope = {
        "rope_type": "proportional",
        "rope_theta": scheme.base,
        "partial_rotary_factor": scheme.share,
    }
    factor = scheme.scale(scheme.trained_length)
    if factor != 1:  # transformers reads a factor here, but warns of it
        rope["factor"] = factor
    return {"rope_parameters": rope}


def longrope_settings(scheme: LongRoPE) -> dict[str, Any]:
    factor = scheme.scale(scheme.trained_length)
    rope = {
        "rope_type": "longrope",
        "rope_theta": scheme.base,
        "factor": factor,
        "original_max_position_embeddings": scheme.shape.original_length,
        "short_factor": scheme.divisors(factor, long=False).tolist(),
        "long_factor": scheme.divisors(factor, long=True).tolist(),
    }
    return {"rope_parameters": rope}


# Settings of LlamaConfig that make transformers turn as a scheme does, `rope_parameters` at least;
# None if it cannot. A factor that follows the context is the one at the longest trained length.
# A subclass needs an entry of its own: its parent's settings would describe the parent.
ROPE_SETTINGS: dict[type[PositionalEncoding], Callable[..., dict[str, Any] | None]] = {
    RoPE: rope_settings,
    Linear: linear_settings,
    NTK: ntk_settings,
    DynamicNTK: dynamic_ntk_settings,
    NTKByParts: llama3_settings,
    Llama3: llama3_settings,
    YaRN: yarn_settings,
    LongRoPE: longrope_settings,
    Proportional: proportional_settings,
}


def export(run: Run, folder: Path, length: int | None = None) -> LlamaForCausalLM:
    """Write a run into a new folder, as a Llama of transformers.

    Args:
        run: a run trained to its end.
        folder: a folder that is empty or does not exist yet.
        length: the longest context (tokens) to export for; None for the longest trained length. A
            factor that follows the context is fixed at its value there.

    Returns:
        The exported model.

    Raises:
        PosextError: the run is no trained Llama, transformers has no form of its scheme, or the two
            networks give different logits.
    """
    if isinstance(run, Checkpoint) or not run.trained:
        raise PosextError(
            f"{run.folder} is not a run that was trained to its end here: "
            "it has no weights to export"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PosextError(f"{folder} is not an empty folder")
    state = load_file(run.folder / "model.safetensors")
    vocab_size = len(state["embedding.weight"])
    ours: GPT = run.network(run.config, vocab_size).eval()
    trained_length = ours.pe.trained_length
    if length is not None and length < trained_length:
        raise PosextError(
            f"the length must be at least {trained_length}, the longest trained, not {length}"
        )
    longest = length or trained_length
    ours.pe.set_progress(trained_length=longest)
    theirs = LlamaForCausalLM(llama_config(run, ours)).eval()
    theirs.load_state_dict(to_llama(state, run.config.model.n_layers))
    lengths = sorted({run.original_length, longest})
    check_same_logits(ours, theirs, lengths, run.config.title())
    theirs.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return theirs


def llama_config(run: Run, model: GPT) -> LlamaConfig:
    """The config of the same network.

    Raises PosextError if the Llama of transformers has no such positions.
    """
    scheme = model.pe
    make_settings = ROPE_SETTINGS.get(type(scheme))
    scheme_settings = make_settings(scheme) if make_settings else None
    modifiers = [
        f"{group}={modifier['name']}"
        for group, modifier in run.config.modifiers().items()
        if group != "position_ids"
    ]
    if scheme_settings is None or modifiers:
        raise PosextError(
            f"transformers' Llama has no form of {' '.join(modifiers) or run.config.title()} "
            f"as set in {run.folder}; "
            f"it has one of {', '.join(exportable_schemes())}, with nothing beside them"
        )
    shape = run.config.model
    caps = [name for name in ("attention_softcap", "logit_softcap") if getattr(shape, name)]
    if caps:
        raise PosextError(f"transformers' Llama has no model.{caps[0]}, which {run.folder} has")
    network_settings: dict[str, Any] = {
        "vocab_size": model.embedding.num_embeddings,
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.kv_heads(),
        "head_dim": shape.head_width(),
        "max_position_embeddings": scheme.trained_length,
        "rms_norm_eps": NORM_EPSILON,
        "hidden_act": "silu",
        "tie_word_embeddings": shape.tied_embeddings,
        "bos_token_id": None,  # transformers' defaults, 1 and 2, are ordinary tokens here
        "eos_token_id": None,
        "dtype": "float32",
    }
    return LlamaConfig(**{**network_settings, **scheme_settings})


def exportable_schemes() -> list[str]:
    """The names of the schemes that the Llama of transformers has a form of."""
    return [
        name
        for name in names()
        if class_of(settings_of("pe", name)["_target_"], PositionalEncoding) in ROPE_SETTINGS
    ]


@torch.inference_mode()
def check_same_logits(ours: GPT, theirs: LlamaForCausalLM, lengths: list[int], title: str) -> None:
    """Raise PosextError if two networks give different logits in contexts of `lengths` tokens."""
    for length in lengths:
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(ours.embedding.num_embeddings, (1, length), generator=generator)
        our_logits = ours(tokens, last=COMPARED_POSITIONS)
        their_logits = theirs(tokens, logits_to_keep=COMPARED_POSITIONS).logits
        difference = float((our_logits - their_logits).abs().max() / our_logits.abs().max())
        if not difference <= MAX_LOGIT_DIFFERENCE:
            rope = theirs.config.rope_parameters
            raise PosextError(
                f"{title} at {length} tokens is not what transformers' Llama makes of {rope}: "
                f"{difference:.1e} apart"
            )
