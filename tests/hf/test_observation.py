"""What an observer sees of checkpoints, against the weights that transformers returns."""

import pandas as pd
import pytest
import torch
from helpers.checkpoints import ARCHITECTURES, ORIGINAL, llama, random_model
from helpers.observers import Kept, kept
from transformers import GPT2Config, GPT2LMHeadModel

from posext.analysis.attention import read_attention
from posext.hf.network import CheckpointPositions, Network
from posext.pe import Shape, build
from posext.utils.errors import PosextError

TOKENS = torch.randint(300, (2, 2 * ORIGINAL), generator=torch.Generator().manual_seed(0))


def gpt2():
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 2 * ORIGINAL}
    return GPT2LMHeadModel(GPT2Config(vocab_size=320, **sizes, initializer_range=0.3))


MODELS = {**ARCHITECTURES, "gpt2": gpt2}


def network(model, bos: int | None = None) -> Network:
    """The model with the positions that it was made with."""
    pe = CheckpointPositions(Shape(16, 2, 32, ORIGINAL), "rotary")
    return Network(model.eval(), pe, bos)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_observe_shows_the_weights_of_transformers(name):
    model = network(MODELS[name]()).model
    own = model.config._attn_implementation
    seen = kept(network(model), TOKENS)
    assert model.config._attn_implementation == own
    model.set_attn_implementation("eager")
    theirs = model(TOKENS, output_attentions=True, output_hidden_states=True)
    assert sorted(seen.weights) == list(range(model.config.num_hidden_layers))
    for layer, weights in enumerate(theirs.attentions):
        torch.testing.assert_close(seen.weights[layer], weights, atol=1e-4, rtol=1e-3)
    for layer, states in enumerate(theirs.hidden_states[1:-1]):
        torch.testing.assert_close(seen.states[layer], states, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_observe_reads_the_start_token_of_measured_windows():
    model = llama()
    started = TOKENS.clone()
    started[:, 0] = 7
    with_token = kept(network(model, bos=7), TOKENS)
    torch.testing.assert_close(
        with_token.weights[1], kept(network(model), started).weights[1], atol=0, rtol=0
    )


@torch.no_grad()
def test_observe_under_a_window_shows_its_weights_and_pairs():
    """Under tables of posext the rotation is known, and so are its pairs."""
    shape = {"head_dim": 16, "n_heads": 2, "d_model": 32, "train_length": ORIGINAL}
    rotations = []

    class Tables(Kept):
        def attention(self, layer, tables, rows):
            super().attention(layer, tables, rows)
            rotations.append(tables.rotation)

    from posext.hf.attention import take_over

    model = llama().eval()
    take_over(model)
    windowed = Network(model, build("rope", **shape, window={"name": "sliding", "size": 5}))
    observer = Tables(2 * ORIGINAL)
    windowed.observe(TOKENS, observer)
    mistral = network(ARCHITECTURES["mistral"](sliding_window=5, num_hidden_layers=2))
    mistral.model.load_state_dict(model.state_dict())
    theirs = kept(mistral, TOKENS)
    torch.testing.assert_close(observer.weights[1], theirs.weights[1], atol=1e-4, rtol=1e-3)
    assert all(rotation.cos_TR.shape == (2 * ORIGINAL, 8) for rotation in rotations)


def test_observe_refuses_a_model_without_attention():
    settings = {"state_size": 4, "num_hidden_layers": 2, "hidden_size": 32}
    model = random_model("MambaConfig", "MambaForCausalLM", settings)
    with pytest.raises(PosextError, match="mamba shows its attention in 0 of 2 layers"):
        network(model).observe(TOKENS, Kept(2 * ORIGINAL))


def test_observe_refuses_what_it_cannot_take_apart(monkeypatch):
    """A model whose attention is changed by the observation is none that was observed."""
    monkeypatch.setattr("posext.hf.attention.tables_of", forgetful(monkeypatch))
    model = ARCHITECTURES["mistral"](sliding_window=3)
    with pytest.raises(PosextError, match="mistral is more than this version can take apart"):
        network(model).observe(TOKENS, Kept(2 * ORIGINAL))


def forgetful(monkeypatch):
    """`tables_of` without the mask."""
    from posext.hf import attention

    tables_of = attention.tables_of
    return lambda query, mask, *rest, **names: tables_of(query, None, *rest, **names)


def test_attention_of_a_checkpoint_is_measured(plain, try_evaluate):
    code, err = try_evaluate(
        plain, "name=mine", "context_lengths=[16,64]", "protocols=[fixed_target,attention]"
    )
    assert code == 0, err
    rows = read_attention("results/runs/mine/attention.csv")
    assert set(rows.context_length) == {16, 64}
    assert isinstance(rows, pd.DataFrame)
    heads = rows.loc[(rows.metric == "entropy") & (rows.context_length == 16)]
    assert list(zip(heads.layer, heads["head"], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
