"""Conversion of weights to and from transformers' Llama, which has the same architecture.

Only the names differ, and the fused matrices are split.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

# Our name of a weight in a layer: Llama's names of the rows that it is made of.
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
# Our name of a weight outside of the layers: Llama's name.
OUTSIDE_LAYERS = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
}


def to_llama(state: Mapping[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """Return a GPT's state dict under the names of LlamaForCausalLM.

    Raises:
        KeyError: A weight is missing.
    """
    llama_state = {theirs: state[ours] for ours, theirs in OUTSIDE_LAYERS.items()}
    llama_state["lm_head.weight"] = state.get("head.weight", state["embedding.weight"])
    for layer in range(n_layers):
        query_width = state[f"blocks.{layer}.attention.out.weight"].shape[1]
        for ours, llama_names in PER_LAYER.items():
            fused = state[f"blocks.{layer}.{ours}"]
            rows = len(fused) // len(llama_names)
            sizes = [rows] * len(llama_names)
            if ours == "attention.qkv.weight":
                key_width = (len(fused) - query_width) // 2
                sizes = [query_width, key_width, key_width]
            chunks = fused.split(sizes)
            for theirs, chunk in zip(llama_names, chunks, strict=True):
                llama_state[f"model.layers.{layer}.{theirs}"] = chunk.contiguous()
    return llama_state


def from_llama(state: Mapping[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """Return the state dict of a LlamaForCausalLM under a GPT's names.

    Its embeddings must be tied, and it must have one key head per query head.
    """
    gpt_state = {ours: state[theirs] for ours, theirs in OUTSIDE_LAYERS.items()}
    for layer in range(n_layers):
        for ours, llama_names in PER_LAYER.items():
            chunks = [state[f"model.layers.{layer}.{theirs}"] for theirs in llama_names]
            gpt_state[f"blocks.{layer}.{ours}"] = torch.cat(chunks)
    return gpt_state
