"""Patterns over layers under the names of models, against transformers' own configs."""

import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama4.modeling_llama4 import Llama4TextAttention

from posext.model import attention
from posext.pe import build

LAYERS = 12
SHAPE = {"head_dim": 16, "n_heads": 2, "d_model": 32, "train_length": 4096}
SIZES = {"num_hidden_layers": LAYERS, "num_attention_heads": 2, "hidden_size": 32, "head_dim": 16}


def kinds(name: str, **settings) -> list:
    return build(name, **SHAPE, **settings).layers(LAYERS)


def is_local(kind) -> bool:
    return "window" in kind.modifiers


def their_inv_freq(config, layer_type: str | None = None) -> torch.Tensor:
    """Frequencies of transformers for a layer type, in float32."""
    parameters = config.rope_parameters
    kind = (parameters[layer_type] if layer_type else parameters)["rope_type"]
    if kind == "default":
        base = (parameters[layer_type] if layer_type else parameters)["rope_theta"]
        return base ** (-torch.arange(0, 16, 2) / 16)
    return ROPE_INIT_FUNCTIONS[kind](config, "cpu", layer_type=layer_type)[0]


def assert_frequencies(kind, config, layer_type: str | None = None) -> None:
    ours = kind.frequencies(kind.trained_length)[0].float()
    torch.testing.assert_close(ours, their_inv_freq(config, layer_type), rtol=1e-5, atol=0)


def test_smollm3_leaves_positions_out_where_transformers_does():
    config = transformers.SmolLM3Config(
        **SIZES, rope_parameters={"rope_type": "default", "rope_theta": 5e6}
    )
    ours = kinds("smollm3")
    assert [int(kind.family == "rotary") for kind in ours] == list(config.no_rope_layers)
    assert not any(map(is_local, ours))
    assert_frequencies(ours[0], config)


def test_gpt_oss_alternates_windows_and_scales_every_layer():
    config = transformers.GptOssConfig(**SIZES, num_key_value_heads=2)
    ours = kinds("gpt_oss")
    assert [is_local(kind) for kind in ours] == [
        each == "sliding_attention" for each in config.layer_types
    ]
    assert all("sink" in kind.modifiers for kind in ours)
    for kind in ours:
        kind.set_progress(trained_length=32 * 4096)
    assert_frequencies(ours[0], config)
    assert_frequencies(ours[1], config)


def test_olmo3_scales_global_layers_alone():
    config = transformers.Olmo3Config(
        **SIZES,
        rope_parameters={
            "full_attention": {
                "rope_type": "yarn",
                "rope_theta": 5e5,
                "factor": 8.0,
                "original_max_position_embeddings": 4096,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 5e5},
        },
    )
    ours = kinds("olmo3")
    assert [is_local(kind) for kind in ours] == [
        each == "sliding_attention" for each in config.layer_types
    ]
    for kind in ours:
        kind.set_progress(trained_length=8 * 4096)
    assert_frequencies(ours[0], config, "sliding_attention")
    assert_frequencies(ours[3], config, "full_attention")


def test_gemma3_interpolates_global_layers_of_a_larger_base():
    config = transformers.Gemma3TextConfig(
        **SIZES,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    )
    ours = kinds("gemma3")
    assert [is_local(kind) for kind in ours] == [
        each == "sliding_attention" for each in config.layer_types
    ]
    for kind in ours:
        kind.set_progress(trained_length=8 * 4096)
    assert_frequencies(ours[0], config, "sliding_attention")
    assert_frequencies(ours[5], config, "full_attention")


def test_llama4_chunks_rotary_layers_and_scales_the_others():
    """As in Scout; Llama4TextAttention is read for the temperature and the norm."""
    config = transformers.Llama4TextConfig(
        **SIZES,
        num_key_value_heads=2,
        attention_chunk_size=4096,
        floor_scale=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 5e5},
    )
    ours = kinds("llama4")
    for index, kind in enumerate(ours):
        theirs = Llama4TextAttention(config, index)
        assert theirs.use_rope == (kind.family == "rotary")
        assert is_local(kind) == (config.layer_types[index] == "chunked_attention")
        assert hasattr(theirs, "qk_norm") == ("qk_norm" in kind.modifiers)
        assert ("attention_scale" in kind.modifiers) == (not theirs.use_rope)
    assert ours[0].modifiers["window"].size == config.attention_chunk_size
    norm = ours[0].modifiers["qk_norm"].norm
    assert norm.rotated
    assert not norm.over_heads
    assert norm.epsilon == config.rms_norm_eps
    assert_frequencies(ours[0], config)


def test_llama4_layer_without_positions_equals_that_of_transformers():
    """At chunks of 8 tokens, which the temperature counts; with the weights of theirs."""
    shape = {**SHAPE, "train_length": 8}
    config = transformers.Llama4TextConfig(
        **SIZES, num_key_value_heads=2, floor_scale=8, attn_implementation="eager"
    )
    torch.manual_seed(0)
    theirs = Llama4TextAttention(config, 3)
    scheme = build("llama4", **shape).layers(4)[3]
    x = torch.randn(2, 30, 32)
    masked = torch.full((30, 30), -torch.inf).triu(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(8)
        expected, _ = theirs(x, (None, None), masked)
        q, k, v = (
            project(x).view(2, 30, 2, 16).transpose(1, 2)
            for project in (theirs.q_proj, theirs.k_proj, theirs.v_proj)
        )
        tables = attention.prepare(scheme.tables(torch.arange(30)))
        found = theirs.o_proj(attention.attend(q, k, v, tables).transpose(1, 2).flatten(2))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
