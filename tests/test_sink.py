"""Sinks in the softmax, against transformers and a plain loop."""

import math

import pytest
import torch
import transformers
from helpers.networks import TRAIN_LENGTH, network, tokens

from posext.model import attention
from posext.utils.errors import PosextError

WIDTH = 32
HEADS = 4


def filled(model):
    """The network with a different sink in every head."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".logits"):
                parameter.copy_(torch.linspace(-2, 3, HEADS))
    return model


def test_learned_sink_equals_gpt_oss():
    model = filled(network(1, "rope", sink="learned"))
    ours = model.blocks[0].attention
    config = transformers.GptOssConfig(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=WIDTH // HEADS,
        num_hidden_layers=1,
        num_local_experts=2,
        num_experts_per_tok=1,
        vocab_size=50,
        layer_types=["full_attention"],
        pad_token_id=0,
        attn_implementation="eager",
    )
    layer = transformers.GptOssModel(config).eval().layers[0].self_attn
    with torch.no_grad():
        for name, rows in zip("qkv", ours.qkv.weight.chunk(3), strict=True):
            getattr(layer, f"{name}_proj").weight.copy_(rows)
            getattr(layer, f"{name}_proj").bias.zero_()
        layer.o_proj.weight.copy_(ours.out.weight)
        layer.o_proj.bias.zero_()
        layer.sinks.copy_(torch.linspace(-2, 3, HEADS))
    x = torch.randn(2, 20, WIDTH, generator=torch.Generator().manual_seed(0))
    rotation = model.pe.rotation(torch.arange(20), 20)
    cos_sin = (rotation.cos_TR[None], rotation.sin_TR[None])  # one column a pair, as theirs
    mask = torch.full((20, 20), -torch.inf).triu(1)[None, None]
    with torch.no_grad():
        attended = ours(x, model.pe.tables(torch.arange(20)))
        expected, _ = layer(x, position_embeddings=cos_sin, attention_mask=mask)
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scheme", ["alibi", "none", "t5", "fox", "rope"])
@pytest.mark.parametrize("length", [20, 1200])
def test_sink_joins_the_softmax_of_every_scheme(scheme, length, monkeypatch):
    """Weights with a sink are those without, times one minus the sink's share, row by row.

    The share comes from the log of the sum of the row's exponentials, with the bias as a scheme
    means it: 0 at the query's own key.
    """
    plain = network(1, scheme)
    sunk = filled(network(1, scheme, sink="learned"))
    sunk.load_state_dict({**sunk.state_dict(), **plain.state_dict()})
    inputs = tokens(length)[:1]
    x = plain.blocks[0].attention_norm(
        plain.pe.embed(plain.embedding(inputs), torch.arange(length))
    )
    tables = plain.pe.tables(torch.arange(length))
    layer = plain.blocks[0].attention
    for module in layer.order:
        tables = module(x, tables)
    with torch.no_grad():
        heads = layer.qkv(x).view(1, length, 3, HEADS, 8).permute(2, 0, 3, 1, 4)
        q, k, v = heads.unbind(0)
        q = attention.turned_queries(q, tables)
        k = attention.turned_keys(k, tables)
        scores = attention.scores(q, k).double()
        if tables.bias is not None:
            scores = scores + attention.bias_rows(tables, tables.bias, 0, length)
        scores = scores.masked_fill(torch.ones(length, length).bool().triu(1), -math.inf)
        sinks = torch.linspace(-2, 3, HEADS, dtype=torch.float64)[:, None]
        total = torch.logaddexp(scores.logsumexp(-1), sinks)
        weights = (scores - total[..., None]).exp()
        expected = layer.out((weights @ v.double()).transpose(1, 2).reshape(1, length, -1).float())
        ours = sunk.blocks[0].attention(x, attention.prepare(sunk.pe.tables(torch.arange(length))))
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=1e-3)


def test_off_by_one_is_a_sink_of_0():
    off_by_one = network(1, "rope", sink="off_by_one")
    learned = network(1, "rope", sink="learned")
    torch.testing.assert_close(off_by_one(tokens(20)), learned(tokens(20)))
    assert not list(off_by_one.blocks[0].attention.order)
    assert (off_by_one(tokens(20)) - network(1, "rope")(tokens(20))).abs().max() > 1e-3


def test_sink_far_below_all_logits_changes_nothing():
    sunk = network(2, "yarn", sink={"name": "off_by_one", "start": -1e4})
    torch.testing.assert_close(sunk(tokens(40)), network(2, "yarn")(tokens(40)))


def test_windows_take_a_sink():
    """A window as long as the context changes nothing."""
    plain = filled(network(2, "rope", sink="learned"))
    windowed = filled(
        network(2, "rope", sink="learned", window={"name": "rerope", "w": TRAIN_LENGTH})
    )
    inputs = tokens(TRAIN_LENGTH)
    torch.testing.assert_close(windowed(inputs), plain(inputs), atol=1e-4, rtol=1e-4)


def test_sinks_are_learned():
    model = network(2, "rope", sink="learned")
    model(tokens(20)[:, :-1], tokens(20)[:, 1:]).backward()
    for block in model.blocks:
        assert block.attention.order[0].logits.grad.abs().min() > 0


@pytest.mark.parametrize("scheme", ["stick_breaking", "cope", "dape"])
@pytest.mark.parametrize(
    ("axis", "what"), [({"sink": "off_by_one"}, "a sink"), ({"window": "sliding"}, "a window")]
)
def test_sinks_and_windows_are_refused_without_a_softmax_of_scores(scheme, axis, what):
    with pytest.raises(PosextError, match=f"{what} needs attention weights that are a softmax"):
        network(1, scheme, **axis)
