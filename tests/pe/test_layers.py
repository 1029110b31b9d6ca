"""Patterns of schemes over layers, gains, and positions that are dropped."""

import pytest
import torch

from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.pe import build

L = 16
SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": L}


def config(count: int) -> ModelConfig:
    return ModelConfig(
        name="test", n_layers=count, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3
    )


def tokens(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(50, (2, length), generator=torch.Generator().manual_seed(seed))


def network(count: int, *args, **settings) -> GPT:
    model = GPT(config(count), 50, build(*args, **SHAPE, **settings)).initialize(0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return model


def test_a_pattern_repeats_down_the_network():
    scheme = build("rnope_swa", **SHAPE)
    local, full = scheme.kinds
    assert scheme.layers(9) == [local, local, local, full, local, local, local, full, local]
    assert (local.family, full.family) == ("rotary", "none")
    assert "window" in local.modifiers
    assert "window" not in full.modifiers
    assert [kind.base for kind in build("dual_base", **SHAPE).layers(6)] == [1e4] * 5 + [1e6]
    assert [list(kind.modifiers) for kind in build("irope", **SHAPE).layers(4)] == 3 * [
        ["window"]
    ] + [["attention_scale"]]


def test_layers_fits_a_pattern_longer_than_the_network_and_says_which_layer_is_what(caplog):
    """The global layer of `dual_base` is there in a network of four layers, as it is in one of six."""
    scheme = build("dual_base", **SHAPE)
    assert [kind.base for kind in scheme.layers(4)] == [1e4, 1e4, 1e4, 1e6]
    assert caplog.messages == [
        "a pattern of 6 layers is fitted to 4: 3 x rope(base=10000.0)+window, 1 x rope(base=1000000.0)"
    ]
    assert [kind.base for kind in scheme.layers(2)] == [1e4, 1e6]
    assert [kind.base for kind in scheme.layers(8)] == [1e4] * 5 + [1e6] + [1e4] * 2
    with pytest.raises(
        ValueError, match=r"pe\.layers has 2 entries, more than the 1 layers of the network"
    ):
        scheme.layers(1)


def test_irope_rotary_layers_see_their_own_chunk_alone():
    """As Llama 4's local layers: keys of an earlier chunk of the original length are out of sight."""
    layers = [{"pe": "rope", "window": "chunk"}]
    model, before = network(1, "irope", layers=layers), tokens(2 * L + 4)
    same, other = before.clone(), before.clone()
    same[:, : 2 * L] = tokens(2 * L, seed=1)
    other[:, 2 * L] = (before[:, 2 * L] + 1) % 50
    with torch.no_grad():
        last = model(before, last=1)
        assert model(same, last=1).equal(last)
        assert not model(other, last=1).equal(last)


def test_a_pattern_of_one_scheme_is_that_scheme():
    for name in ("rope", "alibi", "fox"):
        alone, pattern = network(3, name), network(3, "irope", layers=[{"pe": name}])
        pattern.load_state_dict(
            {k.replace("pe.", "pe.kinds.0."): v for k, v in alone.state_dict().items()}
        )
        assert alone(tokens(20)).equal(pattern(tokens(20)))


def test_only_the_full_layers_look_past_the_window():
    """Without full layers a token further back than the windows of all layers together cannot matter; with one it does."""
    change = {}
    for last in ("rope", "none"):
        layers = [{"pe": "rope", "window": {"name": "window", "size": 4}, "repeat": 2}]
        layers += [
            {"pe": last, **({"window": {"name": "window", "size": 4}} if last == "rope" else {})}
        ]
        model, before = network(3, "irope", layers=layers), tokens(30)
        after = before.clone()
        after[:, :5] = tokens(30, seed=1)[:, :5]
        change[last] = float((model(before, last=1) - model(after, last=1)).abs().max().detach())
    assert change["rope"] == 0
    assert change["none"] > 1e-3


def test_an_axis_of_the_whole_run_goes_to_the_layers_that_choose_none():
    layers = [{"pe": "rope", "repeat": 3}, {"pe": "none", "attention_scale": "llama4"}]
    scheme = build("irope", **SHAPE, attention_scale="logn", layers=layers, window="window")
    first, *_, last = scheme.layers(4)
    assert type(first.modifiers["attention_scale"]).__name__ == "LogN"
    assert type(last.modifiers["attention_scale"]).__name__ == "Llama4"
    assert all("window" in kind.modifiers for kind in (first, last))


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "at least one layer"),
        ([{"window": "window"}], "names its scheme"),
        ([{"pe": "sinusoidal"}], "cannot stand for one layer"),
        ([{"pe": "rope", "repeat": 0}], "repeat must be a whole number of at least 1"),
        ([{"pe": "rope", "factor": 2}], "unknown setting 'factor' of RoPE"),
        ([{"pe": "ropes"}], "unknown positional encoding 'ropes'"),
    ],
)
def test_senseless_patterns_are_refused(layers, says):
    with pytest.raises(ValueError, match=says):
        build("irope", **SHAPE, layers=layers)


def test_drope_is_rope_until_the_drop_and_nothing_from_then_on():
    model = network(2, "drope", share=0.25)
    rope, none = (network(2, name) for name in ("rope", "none"))
    for progress, same in ((0.0, rope), (0.74, rope), (0.75, none), (0.99, none), (1.0, none)):
        model.pe.set_progress(trained_length=L, progress=progress)
        assert model(tokens(20)).equal(same(tokens(20)))
    assert network(2, "drope", share=0.25)(tokens(20)).equal(
        none(tokens(20))
    )  # as evaluation finds it


def shifted(model: GPT, by: int) -> torch.Tensor:
    model.pe.positions = lambda length, device=None: torch.arange(by, by + length)
    with torch.no_grad():
        return model(tokens(L))


@pytest.mark.parametrize("gain", ["per_pair", "per_dim"])
def test_a_gain_of_pairs_keeps_scores_relative_and_one_of_dimensions_does_not(gain):
    model = network(2, "rope", qk_gain=gain)
    with torch.no_grad():
        for block in model.blocks:
            (module,) = block.attention.order
            module.gain.copy_(torch.linspace(0.3, 3, len(module.gain)))
    apart = (shifted(model, 0) - shifted(model, 50)).abs().max()
    assert model.pe.relative == (gain == "per_pair")
    assert (apart < 2e-3) == model.pe.relative
    if not model.pe.relative:
        assert apart > 0.05


def test_a_gain_of_pairs_is_absorbed_by_the_projections():
    gains = [0.5, 2.0, 3.0, 0.1]
    gained, plain = (
        network(1, "rope", qk_gain={"name": "per_pair", "weights": gains}),
        network(1, "rope"),
    )
    with torch.no_grad():
        for rows in (
            plain.blocks[0].attention.qkv.weight[:64].view(8, 8, 32)
        ):  # heads of queries, then of keys
            rows *= torch.tensor(gains * 2)[:, None]
    torch.testing.assert_close(gained(tokens(20)), plain(tokens(20)), atol=1e-4, rtol=1e-4)


def test_learned_gains_start_as_no_gain_and_are_learned():
    model, plain = network(2, "rope", qk_gain="per_dim"), network(2, "rope")
    torch.testing.assert_close(model(tokens(20)), plain(tokens(20)))
    model(tokens(20)[:, :-1], tokens(20)[:, 1:]).backward()
    assert all(block.attention.order[0].gain.grad.abs().min() > 0 for block in model.blocks)


def test_weights_of_another_number_are_refused():
    with pytest.raises(ValueError, match="has 3 numbers; a head has 4 pairs"):
        build("rope", **SHAPE, qk_gain={"name": "per_pair", "weights": [1.0, 1.0, 1.0]})
