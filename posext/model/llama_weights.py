"""Weights to and from transformers' Llama, whose shape ours is: only the names differ, and fused matrices are split."""

from collections.abc import Mapping

import torch
from torch import Tensor

PER_LAYER = {
    "attention_norm.weight": ("input_layernorm.weight",),
    "attention.qkv.weight": (
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
    ),
    "attention.out.weight": ("self_attn.o_proj.weight",),
    "mlp_norm.weight": ("post_attention_layernorm.weight",),
    "mlp.gate_up.weight": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
    "mlp.down.weight": ("mlp.down_proj.weight",),
}
WHOLE = {"embedding.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}


def to_llama(state: Mapping[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """A GPT's state under LlamaForCausalLM's names. Raises KeyError where a weight is missing."""
    theirs = {name: state[ours] for ours, name in WHOLE.items()}
    theirs["lm_head.weight"] = state["embedding.weight"]
    for layer in range(n_layers):
        for ours, names in PER_LAYER.items():
            parts = state[f"blocks.{layer}.{ours}"].chunk(len(names))
            theirs |= {
                f"model.layers.{layer}.{n}": p.contiguous()
                for n, p in zip(names, parts, strict=True)
            }
    return theirs


def from_llama(state: Mapping[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """LlamaForCausalLM's state (tied embeddings, as many key heads as query heads) under a GPT's names."""
    ours = {name: state[theirs] for name, theirs in WHOLE.items()}
    for layer in range(n_layers):
        for name, parts in PER_LAYER.items():
            ours[f"blocks.{layer}.{name}"] = torch.cat(
                [state[f"model.layers.{layer}.{part}"] for part in parts]
            )
    return ours
