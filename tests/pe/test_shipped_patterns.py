"""Patterns over layers under the names of models, against transformers' own configs."""

import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

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
