"""Small random checkpoints of transformers, of several architectures."""

from functools import partial

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

ORIGINAL = 32
SIZES = {
    "vocab_size": 320,  # the tokenizer of the tests uses 300
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
COMMON = {
    **SIZES,
    "intermediate_size": 48,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": ORIGINAL,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
# Layers of local attention around one of global attention.
MIXED = {
    "sliding_window": 8,
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
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


def random_model(config: str, model: str, settings: dict, **changes):
    """A random model of transformers, by the names of its classes."""
    torch.manual_seed(0)
    made = getattr(transformers, config)(**{**COMMON, **settings, **changes})
    return getattr(transformers, model)(made)


MODELS = {
    "mistral": ("MistralConfig", "MistralForCausalLM", {}),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {}),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM", MIXED),
    "olmo3": ("Olmo3Config", "Olmo3ForCausalLM", MIXED),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM", {"no_rope_layers": [1, 0]}),
    "phi": ("PhiConfig", "PhiForCausalLM", {}),  # half of a head rotates
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {"intermediate_size": 64}),  # a quarter
    "gpt_oss": (
        "GptOssConfig",
        "GptOssForCausalLM",
        {
            **MIXED,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "llama4": (
        "Llama4TextConfig",
        "Llama4ForCausalLM",
        {
            "intermediate_size_mlp": 48,
            "num_local_experts": 2,
            "no_rope_layers": [1, 0],
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 16,
        },
    ),
}
ARCHITECTURES = {
    "llama": partial(llama, num_hidden_layers=4),
    **{name: partial(random_model, *settings) for name, settings in MODELS.items()},
}
