"""Checkpoints of transformers: a small Llama, and its sizes."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

ORIGINAL = 32
SIZES = {
    "vocab_size": 320,  # the tokenizer of the tests uses 300
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def llama(**changes) -> LlamaForCausalLM:
    """A random Llama whose attention is far from uniform, so that positions matter."""
    torch.manual_seed(0)
    settings = {
        **SIZES,
        "intermediate_size": 48,
        "num_key_value_heads": 1,
        "max_position_embeddings": ORIGINAL,
        "initializer_range": 0.3,
    }
    return LlamaForCausalLM(LlamaConfig(**{**settings, **changes}))
