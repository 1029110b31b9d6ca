"""Norms of queries and keys, against transformers and a plain loop."""

import math

import pytest
import torch
import transformers
from helpers.networks import TRAIN_LENGTH, network, tokens

from posext.model.gpt import GPT
from posext.pe import names

WIDTH = 32
HEADS = 4


def filled(model: GPT) -> GPT:
    """The network with gains far from 1, different ones in every place."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".order." in name:
                parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
    return model


def their_attention(kind: str, attention, epsilon: float = 1e-6):
    """The attention layer of a model of transformers with the weights of ours."""
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=WIDTH // HEADS,
        num_hidden_layers=1,
        vocab_size=50,
        rms_norm_eps=epsilon,
        attention_bias=False,
        pad_token_id=0,
        attn_implementation="eager",
    )
    model = getattr(transformers, f"{kind}Model")(config).eval()
    layer = model.layers[0].self_attn
    (gains,) = attention.order
    with torch.no_grad():
        for name, rows in zip("qkv", attention.qkv.weight.chunk(3), strict=True):
            getattr(layer, f"{name}_proj").weight.copy_(rows)
        layer.o_proj.weight.copy_(attention.out.weight)
        layer.q_norm.weight.copy_(gains.query.reshape(-1))
        layer.k_norm.weight.copy_(gains.key.reshape(-1))
    return model, layer


@pytest.mark.parametrize(("choice", "kind"), [("per_head", "Qwen3"), ("all_heads", "Olmo2")])
def test_qk_norm_equals_transformers(choice, kind):
    model = filled(network(1, "rope", qk_norm=choice))
    attention = model.blocks[0].attention
    theirs, layer = their_attention(kind, attention)
    x = torch.randn(2, 20, WIDTH, generator=torch.Generator().manual_seed(0))
    cos_sin = theirs.rotary_emb(x, torch.arange(20)[None])
    mask = torch.full((20, 20), -torch.inf).triu(1)[None, None]
    with torch.no_grad():
        ours = attention(x, model.pe.tables(torch.arange(20)))
        expected, _ = layer(x, position_embeddings=cos_sin, attention_mask=mask)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("choice", ["no_gain", "rotated"])
@pytest.mark.parametrize("scheme", ["rope", "alibi", "yarn"])
def test_qk_norm_without_gain_forgets_the_size_of_queries_and_keys(choice, scheme):
    """Attention is the same whatever the size of the weights that make queries and keys."""
    model = network(1, scheme, qk_norm=choice)
    larger = network(1, scheme, qk_norm=choice)
    with torch.no_grad():
        larger.blocks[0].attention.qkv.weight[: 2 * WIDTH] *= 100
    one, other = model(tokens(40)), larger(tokens(40))
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_norm_after_the_rotation_takes_a_factor_on_cos_and_sin_away():
    hot, plain = (
        network(1, "yarn", factor=4, attention_factor=factor, qk_norm="rotated")
        for factor in (3.0, 1.0)
    )
    torch.testing.assert_close(hot(tokens(20)), plain(tokens(20)), atol=1e-4, rtol=1e-4)
    hot, plain = (
        network(1, "yarn", factor=4, attention_factor=factor, qk_norm="no_gain")
        for factor in (3.0, 1.0)
    )
    assert (hot(tokens(20)) - plain(tokens(20))).abs().max() > 0.1


def test_temperature_acts_on_normalized_queries():
    """A factor on logits of 2 at every length, against queries of twice the norm."""
    for choice in ("per_head", "rotated"):
        model = network(1, "none", qk_norm=choice, attention_scale="logn")
        plain = network(1, "none", qk_norm=choice)
        length = TRAIN_LENGTH**2
        tables = model.pe.tables(torch.arange(length))
        assert tables.logit_scale is not None
        assert float(tables.logit_scale[..., -1]) == pytest.approx(2)
        with torch.no_grad():
            ours = model(tokens(length), last=1)
            for order in plain.blocks[0].attention.order:
                order.query.mul_(2)
            if choice == "per_head":
                torch.testing.assert_close(ours, plain(tokens(length), last=1))
            else:
                assert (ours - plain(tokens(length), last=1)).abs().max() > 1e-2


@pytest.mark.parametrize("choice", names("qk_norm"))
def test_windows_see_normalized_queries_and_keys(choice):
    """A window as long as the context changes nothing."""
    plain = filled(network(2, "rope", qk_norm=choice))
    windowed = filled(
        network(2, "rope", qk_norm=choice, window={"name": "rerope", "w": TRAIN_LENGTH})
    )
    inputs = tokens(TRAIN_LENGTH)
    torch.testing.assert_close(windowed(inputs), plain(inputs), atol=1e-4, rtol=1e-4)


def test_qk_gain_is_not_absorbed_by_the_projections_under_a_norm():
    """Without a norm it is: see test_qk_gain.py. Under one, scaled rows give other logits."""
    gains = [0.5, 2.0, 3.0, 0.1]
    gained = network(1, "rope", qk_norm="no_gain", qk_gain={"name": "per_pair", "weights": gains})
    scaled = network(1, "rope", qk_norm="no_gain")
    with torch.no_grad():
        for rows in scaled.blocks[0].attention.qkv.weight[:64].view(8, 8, 32):
            rows *= torch.tensor(gains * 2)[:, None]
    assert (gained(tokens(20)) - scaled(tokens(20))).abs().max() > 0.1


def test_gains_start_at_1_and_are_learned():
    for choice in ("per_head", "all_heads"):
        model = network(2, "rope", qk_norm=choice)
        model(tokens(20)[:, :-1], tokens(20)[:, 1:]).backward()
        for block in model.blocks:
            (module,) = block.attention.order
            assert set(module.query.flatten().tolist()) == {1.0}
            assert module.query.grad.abs().min() > 0
            assert module.key.grad.abs().min() > 0


def test_norm_is_the_root_mean_square_in_float64():
    model = network(1, "none", qk_norm="no_gain").double()
    attention = model.blocks[0].attention
    x = torch.randn(1, 6, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, k, v = (each.view(6, HEADS, 8) for each in attention.qkv(x)[0].chunk(3, dim=-1))
    attended = torch.zeros(6, HEADS, 8, dtype=torch.float64)
    for head in range(HEADS):
        for n in range(6):
            unit = [vector / (vector.square().mean() + 1e-6).sqrt() for vector in (q[n, head],)]
            scores = torch.stack(
                [
                    unit[0] @ (k[m, head] / (k[m, head].square().mean() + 1e-6).sqrt())
                    for m in range(n + 1)
                ]
            ) / math.sqrt(8)
            attended[n, head] = scores.softmax(0) @ v[: n + 1, head]
    with torch.no_grad():
        ours = attention(x, model.pe.tables(torch.arange(6)))
        expected = attention.out(attended.reshape(1, 6, -1))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
