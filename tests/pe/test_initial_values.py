"""Initial values of schemes.

They come from a random stream of their own, at scales at which positions do not drown tokens.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from posext.config import ModelConfig, PythonData, TrainConfig
from posext.model.gpt import GPT, belongs_to_scheme
from posext.pe import build, names, settings_of
from posext.runs.learner import untrained
from posext.runs.run import Run

MODEL = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=64, d_ff=64, learning_rate=1e-3)
SHAPE = {"head_dim": 16, "n_heads": 4, "d_model": 64, "train_length": 32}
ABSOLUTE = [name for name in names() if build(name, **SHAPE).family == "absolute"]


def network(name: str, seed: int = 0) -> GPT:
    config = TrainConfig(pe=settings_of("pe", name), model=MODEL, data=PythonData(), seed=seed)
    return untrained(Run(Path("nowhere"), config), vocab_size=300)


def parts(model: GPT) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The parameters of the network, and those of the scheme."""
    trunk = dict(model.named_parameters())
    of_scheme = {key: trunk.pop(key) for key in list(trunk) if belongs_to_scheme(key)}
    return trunk, of_scheme


@pytest.mark.parametrize("name", names())
def test_untrained_scheme_repeats_no_weight_of_the_network(name):
    """From one stream, the values of a scheme would be multiples of the network's first ones."""
    trunk, learned = parts(network(name))
    heads = [p.detach().flatten() for p in trunk.values() if p.ndim == 2]
    for value in learned.values():
        flat = value.detach().flatten()[:64]
        flat = flat - flat.mean()
        if len(flat) < 16 or not flat.any():
            continue
        for other in heads:
            beside = other[: len(flat)] - other[: len(flat)].mean()
            assert abs(float(torch.nn.functional.cosine_similarity(flat, beside, dim=0))) < 0.9


@pytest.mark.parametrize("name", names())
def test_untrained_network_is_the_same_for_all_schemes(name):
    trunk, _ = parts(network(name))
    plain, _ = parts(network("none"))
    differing = {key for key in plain if not trunk[key].equal(plain[key])}
    assert differing <= {"embedding.weight"}  # whose scale a scheme may declare
    assert not differing or network(name).pe.embedding_std is not None


@pytest.mark.parametrize("name", ["learned", "t5", "fox", "kerple_log", "fire", "dape"])
def test_untrained_scheme_depends_on_the_seed_alone(name):
    _, first = parts(network(name))
    torch.manual_seed(17)
    _, second = parts(network(name))
    _, other_seed = parts(network(name, seed=1))
    assert all(first[key].equal(second[key]) for key in first)
    assert any(not first[key].equal(other_seed[key]) for key in first)


@pytest.mark.parametrize("name", ABSOLUTE)
def test_embed_keeps_tokens_larger_than_positions(name):
    model = network(name)
    tokens = torch.arange(32)[None]
    x = model.embedding(tokens)
    both = model.pe.embed(x, torch.arange(32))
    positions = model.pe.embed(torch.zeros_like(x), torch.arange(32))
    assert (both - positions).square().mean().sqrt() > 1.2 * positions.square().mean().sqrt()


@pytest.mark.parametrize(("setting", "std"), [("auto", 64**-0.5), (0.02, 0.02)])
def test_sinusoidal_tokens_have_rms_1_at_either_initial_scale(setting, std):
    """With `auto` embeddings are N(0, 1/C), multiplied by sqrt(C), as in tensor2tensor."""
    pe = build("sinusoidal", **SHAPE, embedding_std=setting)
    weight = GPT(MODEL, 300, pe).initialize(0).embedding.weight.detach()
    assert float(weight.std()) == pytest.approx(std, rel=0.03)
    positions = torch.arange(32)
    tokens = pe.embed(weight[None, :32], positions) - pe.table(positions)
    assert float(tokens.square().mean().sqrt()) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("name", "std"), [("rope", 0.5), ("sinusoidal", 0.02)])
def test_untrained_embeddings_have_the_std_of_the_scheme_or_of_the_config(name, std):
    """Sinusoidal positions divide embeddings by a std of their own."""
    config = replace(MODEL, embedding_std=0.5)
    weight = GPT(config, 300, build(name, **SHAPE)).initialize(0).embedding.weight.detach()
    assert float(weight.std()) == pytest.approx(std, rel=0.03)


def test_cope_starts_without_positions_and_adds_unscaled_logits():
    module = build("cope", **SHAPE, max_position=8).make_layer_module()
    assert not module.table_PD.any()
    with torch.no_grad():
        module.table_PD[1] = torch.arange(16.0)
    q = torch.ones(1, 1, 1, 16)
    scores = torch.full((1, 1, 1, 2), 40.0)  # gates of 1: two keys at 2 and 1
    logits = module.logits(q, scores, torch.zeros(1, 2, dtype=torch.bool))
    assert logits.flatten().tolist() == pytest.approx([0.0, sum(range(16))])


@pytest.mark.parametrize(
    ("name", "bounds"), [("kerple_log", (0.01, 1e9)), ("kerple_power", (0.01, 2.0))]
)
@pytest.mark.parametrize("start", [-0.05, 0.005, 2.3])
def test_kerple_clamps_parameters_and_keeps_gradients(name, bounds, start):
    low, high = bounds
    scheme = build(name, **SHAPE)
    second = scheme.rate_H if name == "kerple_log" else scheme.power_H
    with torch.no_grad():
        second.fill_(start)
    scheme.bias(torch.arange(20)).values_HL.sum().backward()
    assert float(second.detach().min()) == pytest.approx(min(max(start, low), high))
    assert second.grad.abs().min() > 0
    assert scheme.height_H.grad.abs().min() > 0


@pytest.mark.parametrize("name", ["fire", "dape"])
def test_fire_and_dape_have_a_function_per_layer(name):
    _, learned = parts(network(name))
    layers = {key.split(".")[1] for key in learned}
    assert layers == {"0", "1"}
    first, second = (
        [value for key, value in learned.items() if key.startswith(f"blocks.{layer}.")]
        for layer in layers
    )
    assert any(not a.equal(b) for a, b in zip(first, second, strict=True))


def test_fire_s_shares_one_function_among_layers():
    _, learned = parts(network("fire_s"))
    assert learned
    assert all(key.startswith("pe.shared.") for key in learned)


@pytest.mark.parametrize(
    ("name", "modifiers"),
    [("path", {}), ("selective_rope", {"phase_gate": True}), ("rope", {"normalizer": "asentmax"})],
)
def test_maps_of_the_content_start_small_without_biases(name, modifiers):
    """As in the authors' code; torch's own start is from two to sixteen times as large."""
    scheme = build(name, **{**SHAPE, "d_model": 256}, **modifiers)
    modules = [module for each in scheme.make_layer_modules() for module in each.modules()]
    maps = [each for each in modules if isinstance(each, torch.nn.Linear | torch.nn.Conv1d)]
    assert len(maps) >= 2
    for each in maps:
        assert each.weight.std().item() == pytest.approx(0.02, rel=0.15)
        assert each.bias is None or not each.bias.any()
