"""Weights of our network against transformers' Llama, which must compute the same logits."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.model.llama_weights import from_llama, to_llama
from posext.model.norm import NORM_EPSILON
from posext.pe import build

CONFIG = ModelConfig(name="test", n_layers=3, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
TOKENS = torch.randint(200, (2, 300), generator=torch.Generator().manual_seed(0))


def gpt() -> GPT:
    pe = build("rope", head_dim=16, n_heads=4, d_model=64, train_length=128)
    return GPT(CONFIG, 200, pe).initialize(0).eval()


def llama() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=200,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
        rms_norm_eps=NORM_EPSILON,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        initializer_range=0.06,
    )
    return LlamaForCausalLM(config).eval()


def test_to_llama_keeps_the_logits():
    ours, theirs = gpt(), llama()
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)  # far from the uniform attention of fresh weights
    theirs.load_state_dict(to_llama(ours.state_dict(), 3))
    with torch.no_grad():
        assert (ours(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-5


def test_from_llama_keeps_the_logits():
    torch.manual_seed(0)
    ours, theirs = gpt(), llama()
    ours.load_state_dict(from_llama(theirs.state_dict(), 3))
    with torch.no_grad():
        assert (ours(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-5
