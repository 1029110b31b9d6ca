"""What an observer sees of a network, against weights written out."""

import math

import pytest
import torch
from helpers.networks import TRAIN_LENGTH, network, tokens
from helpers.observers import Kept, kept

from posext.config import ModelConfig
from posext.model import attention
from posext.model.gpt import GPT
from posext.pe import build
from posext.pe.alibi import slopes
from posext.utils.errors import PosextError

LENGTH = 3 * TRAIN_LENGTH


def queries_keys_input(model: GPT, tokens_BT):
    """Queries and keys of the first layer before any rotation, and the input of attention."""
    block = model.blocks[0]
    x = block.attention_norm(model.embedding(tokens_BT))
    qkv = block.attention.qkv(x).unflatten(-1, (12, -1)).transpose(1, 2)
    return qkv[:, :4], qkv[:, 4:8], x


def distances(length: int) -> torch.Tensor:
    n = torch.arange(length)
    return n[:, None] - n


def plain(model, tokens_BT):
    q, k, _ = queries_keys_input(model, tokens_BT)
    return q @ k.mT / math.sqrt(8)


def alibi(model, tokens_BT):
    return plain(model, tokens_BT) - torch.tensor(slopes(4))[:, None, None] * distances(LENGTH)


def fox(model, tokens_BT):
    _, _, x = queries_keys_input(model, tokens_BT)
    gate = model.blocks[0].attention.order[0]
    log_forget = (x @ gate.weight_HC.T + gate.bias_H).sigmoid().log().transpose(1, 2)
    decay = torch.zeros(2, 4, LENGTH, LENGTH)
    for n in range(LENGTH):
        for m in range(n):
            decay[..., n, m] = log_forget[..., m + 1 : n + 1].sum(-1)
    return plain(model, tokens_BT) + decay


def rope(model, tokens_BT):
    q, k, _ = queries_keys_input(model, tokens_BT)
    angles = torch.arange(LENGTH)[:, None] * 10000.0 ** (-torch.arange(4) / 4)
    turns = torch.polar(torch.ones_like(angles), angles)
    q, k = (torch.complex(*x.chunk(2, -1)) * turns for x in (q, k))
    return (q @ k.mH).real / math.sqrt(8)


CAUSAL = distances(LENGTH) >= 0
NAIVE = {
    "none": (plain, {}, CAUSAL),
    "rope": (rope, {}, CAUSAL),
    "alibi": (alibi, {}, CAUSAL),
    "fox": (fox, {}, CAUSAL),
    "window": (alibi, {"window": {"name": "sliding", "size": 5}}, CAUSAL & (distances(LENGTH) < 5)),
}


@pytest.mark.parametrize("name", NAIVE)
@torch.no_grad()
def test_observe_shows_the_weights_and_logits_written_out(name):
    logits_of, modifiers, visible = NAIVE[name]
    model = network(1, "alibi" if name == "window" else name, **modifiers)
    seen = kept(model, tokens(LENGTH))
    exact = logits_of(model, tokens(LENGTH)).masked_fill(~visible, -torch.inf)
    torch.testing.assert_close(seen.logits[0], exact, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(seen.weights[0], exact.softmax(-1), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("window", [None, "sliding"])
@torch.no_grad()
def test_observe_shows_weights_beside_a_sink(window):
    """Their sum falls short of 1 by the share of the sink."""
    sink = {"name": "off_by_one", "start": 2.0}
    model = network(1, "none", sink=sink, **({"window": window} if window else {}))
    seen = kept(model, tokens(LENGTH))
    far = distances(LENGTH) >= TRAIN_LENGTH if window else ~CAUSAL
    exact = plain(model, tokens(LENGTH)).masked_fill(~CAUSAL | far, -torch.inf).exp()
    exact = exact / (exact.sum(-1, keepdim=True) + math.exp(2.0))
    torch.testing.assert_close(seen.weights[0], exact, atol=1e-5, rtol=1e-3)
    assert seen.weights[0].sum(-1).max() < 1


SCHEMES = {
    "rope": {},
    "yarn": {"factor": 4.0},
    "t5": {},
    "path_fox": {},
    "wall": {},
    "pope": {},
    "cope": {},
    "dape": {},
    "stick_breaking": {},
    "irope": {},
    "none": {"normalizer": "softpick", "gate": "head"},
    "alibi": {"sink": "learned", "attention_scale": "logn"},
    "partial": {"window": "sinks"},
    "linear": {"window": "dca", "qk_norm": "rotated"},
}


@pytest.mark.parametrize("scheme", SCHEMES)
@torch.no_grad()
def test_observe_changes_nothing_that_the_network_computes(monkeypatch, scheme):
    """Nor where a fused kernel would show no weights."""
    monkeypatch.setattr(attention, "EXPLICIT_LENGTH", 8)
    model = network(4, scheme, **SCHEMES[scheme])
    before = model.hidden(tokens(LENGTH))
    seen = kept(model, tokens(LENGTH))
    assert set(seen.weights) == set(seen.states) == {0, 1, 2, 3}
    torch.testing.assert_close(seen.states[3], before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.hidden(tokens(LENGTH)), before, atol=0, rtol=0)
    assert all(len(block._forward_hooks) == 0 for block in model.blocks)


@pytest.mark.parametrize("scheme", ["rope", "stick_breaking", "path", "partial"])
def test_observe_shows_the_same_in_chunks_of_any_size(monkeypatch, scheme):
    model = network(1, scheme, **SCHEMES.get(scheme, {}))
    seen = []
    for chunk in (7, 128):
        monkeypatch.setattr(attention, "CHUNK", chunk)
        seen.append(kept(model, tokens(LENGTH)))
    torch.testing.assert_close(seen[0].weights[0], seen[1].weights[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen[0].logits[0], seen[1].logits[0], atol=1e-4, rtol=1e-4)


def test_observe_never_holds_more_rows_than_a_chunk(monkeypatch):
    monkeypatch.setattr(attention, "CHUNK", 8)
    monkeypatch.setattr(attention, "EXPLICIT_LENGTH", 8)
    sizes = []

    class Sizes(Kept):
        def attention(self, layer, tables, rows):
            sizes.append(rows.weights_BHQK.shape[2])

    network(1, "rope").observe(tokens(LENGTH), Sizes(LENGTH))
    assert sizes == [8] * (LENGTH // 8)


def test_observe_leaves_the_network_as_it_was_after_an_error():
    class Broken(Kept):
        def attention(self, layer, tables, rows):
            raise ZeroDivisionError

    model = network(2, "fox")
    with pytest.raises(ZeroDivisionError):
        model.observe(tokens(8), Broken(8))
    assert [len(block.attention.order) for block in model.blocks] == [1, 1]
    assert all(len(block._forward_hooks) == 0 for block in model.blocks)


def test_observe_refuses_a_recurrence():
    config = ModelConfig("test", 1, 4, 32, 64, 1e-3, kind="mamba2")
    pe = build("none", head_dim=8, n_heads=4, d_model=32, train_length=16)
    with pytest.raises(PosextError, match=r"model\.kind=mamba2 has no attention to observe"):
        GPT(config, 50, pe).observe(tokens(8), Kept(8))
