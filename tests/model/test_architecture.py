"""Settings of the network that published models differ in, against transformers' networks."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward

from posext.config import ModelConfig
from posext.model.attention import attend
from posext.model.gpt import GPT
from posext.model.llama_weights import to_llama
from posext.model.norm import NORM_EPSILON
from posext.pe import build
from posext.pe.tables import AttentionTables
from posext.utils.errors import PosextError

CONFIG = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=64, d_ff=96, learning_rate=1e-3)
TOKENS = torch.randint(200, (2, 300), generator=torch.Generator().manual_seed(0))


def gpt(scheme: str = "rope", **settings) -> GPT:
    config = replace(CONFIG, **settings)
    pe = build(
        scheme,
        head_dim=config.head_width(),
        n_heads=config.n_heads,
        d_model=config.d_model,
        train_length=128,
    )
    model = GPT(config, 200, pe).initialize(0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)  # far from the uniform attention of fresh weights
    return model


def llama(config: ModelConfig) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=200,
            hidden_size=config.d_model,
            intermediate_size=config.d_ff,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads or config.n_heads,
            head_dim=config.head_dim or config.d_model // config.n_heads,
            tie_word_embeddings=config.tied_embeddings,
            rms_norm_eps=NORM_EPSILON,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        )
    ).eval()


@pytest.mark.parametrize(
    "settings",
    [
        {"n_kv_heads": 2},
        {"n_kv_heads": 1, "head_dim": 32},
        {"head_dim": 8},
        {"tied_embeddings": False},
    ],
)
@torch.no_grad()
def test_network_equals_llama_of_these_settings(settings):
    ours = gpt(**settings)
    theirs = llama(ours.config)
    theirs.load_state_dict(to_llama(ours.state_dict(), 2))
    assert (ours(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-4
    parameters = sum(p.numel() for p in theirs.parameters())
    assert ours.n_parameters() == parameters


@pytest.mark.parametrize("scheme", ["alibi", "fox", "t5", "cope", "fire"])
def test_grouped_heads_equal_as_many_heads_with_the_same_keys(scheme):
    grouped, whole = gpt(scheme, n_kv_heads=2), gpt(scheme)
    state = whole.state_dict()
    for name, weight in grouped.state_dict().items():
        if name.endswith("qkv.weight"):
            q, k, v = weight.split((64, 32, 32))
            doubled = [x.view(2, 16, 64).repeat_interleave(2, 0).reshape(64, 64) for x in (k, v)]
            weight = torch.cat((q, *doubled))
        state[name] = weight
    whole.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(grouped(TOKENS), whole(TOKENS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [100, 1100])
def test_attention_softcap_is_that_of_gemma_2(length):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, length, 16, generator=generator) for _ in range(3))
    q, k = 3 * q, 3 * k
    mask = torch.full((length, length), -torch.inf).triu(1)
    group: Any = SimpleNamespace(num_key_value_groups=1, training=False)
    expected, _ = eager_attention_forward(group, q, k, v, mask, scaling=0.25, softcap=2.0)
    found = attend(q, k, v, AttentionTables(torch.arange(length), softcap=2.0))
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_logit_softcap_bounds_the_logits_of_every_path():
    plain, capped = gpt(), gpt(logit_softcap=5.0)
    with torch.no_grad():
        expected = 5 * torch.tanh(plain(TOKENS) / 5)
        torch.testing.assert_close(capped(TOKENS), expected)
        labels = TOKENS[:, -32:]
        log_likelihoods = expected[:, -32:].log_softmax(-1)
        nll = -log_likelihoods.gather(-1, labels[..., None])[..., 0]
        torch.testing.assert_close(capped.target_nll(TOKENS, labels), nll)
        whole = -expected.log_softmax(-1).gather(-1, TOKENS[..., None]).sum()
        torch.testing.assert_close(capped(TOKENS, TOKENS), whole)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(PosextError, match=r"n_kv_heads=3 does not divide model\.n_heads=4"):
        gpt(n_kv_heads=3)
    with pytest.raises(PosextError, match=r"divide model\.d_model=64; set model\.head_dim"):
        gpt(n_heads=3)
