"""Attention temperatures against their formulas, and the refusal of two at once."""

import math

import pytest
import torch

from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.pe import build, names

L = 16
SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": L}
CONFIG = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3)


def logit_scale(choice, length: int) -> torch.Tensor:
    """The multiplier of every query's scores: (H or 1, T), float64."""
    scheme = build("rope", **SHAPE, attention_scale=choice)
    tables = scheme.tables(torch.arange(length))
    for module in scheme.make_layer_modules():
        tables = module(torch.zeros(1, length, 32), tables)
    return tables.logit_scale.detach().double()


FORMULAS = {
    "logn": ({}, lambda n, length: max(1, math.log(n + 1) / math.log(L))),
    "logn in range": ({"in_range": True}, lambda n, length: math.log(n + 1) / math.log(L)),
    "llama4": ({}, lambda n, length: 1 + 0.1 * math.log(1 + (n + 1) // L)),
    "llama4 of 8192": (
        {"floor_scale": 5, "attn_scale": 0.3},
        lambda n, length: 1 + 0.3 * math.log(1 + (n + 1) // 5),
    ),
    "yarn": ({}, lambda n, length: (0.1 * math.log(max(1, length / L)) + 1) ** 2),
    "yarn at 8": ({"factor": 8}, lambda n, length: 1.459129),
    "drope": ({}, lambda n, length: 1 + 0.412 * math.log(max(1, length / L))),
    "drope at 8": ({"factor": 8, "c": 0.103}, lambda n, length: 1.214183),
    "headscale": ({}, lambda n, length: 1.2),
    "headscale from 1.8": ({"start": 1.8}, lambda n, length: 1.8),
    "ssmax": ({"start": 0.43}, lambda n, length: 0.43 * math.log(n + 1)),
}


@pytest.mark.parametrize("case", FORMULAS)
@pytest.mark.parametrize("length", [3, 16, 70])
def test_logit_scale_follows_its_formula(case, length):
    settings, formula = FORMULAS[case]
    values = logit_scale({"name": case.split()[0], **settings}, length).expand(4, length)
    for n in (0, 1, length - 1):
        assert values[:, n].tolist() == pytest.approx([formula(n, length)] * 4, rel=1e-6)


def test_logit_scale_multiplies_scores_but_not_the_bias():
    """Larger queries under ALiBi equal a temperature, which leaves the bias as it is."""
    scaled = build("alibi", **SHAPE, attention_scale={"name": "yarn", "factor": 4})
    model = GPT(CONFIG, 50, scaled).initialize(0).eval()
    plain = GPT(CONFIG, 50, build("alibi", **SHAPE)).initialize(0).eval()
    with torch.no_grad():
        for block in plain.blocks:
            block.attention.qkv.weight[:32] *= (0.1 * math.log(4) + 1) ** 2
    tokens = torch.arange(20)[None]
    torch.testing.assert_close(model(tokens), plain(tokens))


def test_headscale_multiplies_the_scores_of_each_head():
    """Larger queries of a head equal its factor, which is 1 where less is learned."""
    factors = torch.tensor([0.4, 1.0, 1.7, 3.0])
    model = GPT(CONFIG, 50, build("none", **SHAPE, attention_scale="headscale")).initialize(0)
    plain = GPT(CONFIG, 50, build("none", **SHAPE)).initialize(0)
    tokens = torch.arange(20)[None]
    uniform = GPT(CONFIG, 50, build("none", **SHAPE)).initialize(0)
    with torch.no_grad():
        for block in uniform.blocks:
            block.attention.qkv.weight[:32] *= 1.2
        torch.testing.assert_close(model(tokens), uniform(tokens))
        for block in model.blocks:
            block.attention.order[0].factor_H.copy_(factors)
        for block in plain.blocks:
            block.attention.qkv.weight[:32] *= factors.clamp(min=1).repeat_interleave(8)[:, None]
    torch.testing.assert_close(model(tokens), plain(tokens))
    model(tokens)[0, -1, 0].backward()
    assert (model.blocks[0].attention.order[0].factor_H.grad != 0).all()


@pytest.mark.parametrize("choice", [name for name in names("attention_scale") if name != "none"])
@pytest.mark.parametrize("pe", ["yarn", "longrope", "mrrope_pro"])
def test_build_refuses_a_second_temperature(choice, pe):
    with pytest.raises(ValueError, match=r"temperature of its own .* would be a second"):
        build(pe, **SHAPE, attention_scale=choice)
    build(pe, **SHAPE, attention_scale="none")


def test_attention_scale_yarn_equals_the_temperature_of_yarn():
    """YaRN with attention_factor=1 has no temperature of its own, so it takes another."""
    tokens = torch.arange(40)[None]
    own = build("yarn", **SHAPE)
    added = build("yarn", **SHAPE, attention_factor=1, attention_scale="yarn")
    own_logits, added_logits = (GPT(CONFIG, 50, pe).initialize(0)(tokens) for pe in (own, added))
    torch.testing.assert_close(own_logits, added_logits)


@pytest.mark.parametrize(
    ("pe", "axes", "length", "expected"),
    [
        ("rope", {}, 128, 1.0),
        ("yarn", {}, 128, 1.459129),
        ("yarn", {"factor": 2}, 128, 1.143434),
        ("none", {"attention_scale": "logn"}, 256, 2.0),
        ("alibi", {"attention_scale": {"name": "ssmax", "start": 0.5}}, 99, 0.5 * math.log(99)),
        # the mean of two layers: RoPE, and Llama 4's growing scores
        ("irope", {}, 64, (1 + 1 + 0.1 * math.log(5)) / 2),
    ],
)
def test_logit_multiplier_is_that_of_the_last_query(pe, axes, length, expected):
    model = GPT(CONFIG, 50, build(pe, **SHAPE, **axes))
    assert model.logit_multiplier(length) == pytest.approx(expected, rel=1e-5)
