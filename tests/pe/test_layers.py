"""Patterns of schemes over layers."""

import pytest
import torch
from helpers.networks import SHAPE, TRAIN_LENGTH, network, tokens

from posext.pe import build


def test_layers_repeat_the_pattern_down_the_network():
    scheme = build("rnope_swa", **SHAPE)
    local, full = scheme.kinds
    assert scheme.layers(9) == [local, local, local, full, local, local, local, full, local]
    assert (local.family, full.family) == ("rotary", "none")
    assert "window" in local.modifiers
    assert "window" not in full.modifiers
    assert [kind.base for kind in build("dual_base", **SHAPE).layers(6)] == [1e4] * 5 + [1e6]
    modifiers = [list(kind.modifiers) for kind in build("irope", **SHAPE).layers(4)]
    assert modifiers == [["window"], ["window"], ["window"], ["attention_scale"]]


def test_layers_fit_a_pattern_longer_than_the_network(caplog):
    """A global layer stays, and a message says how many layers are of which kind."""
    scheme = build("dual_base", **SHAPE)
    assert [kind.base for kind in scheme.layers(4)] == [1e4, 1e4, 1e4, 1e6]
    assert caplog.messages == [
        "a pattern of 6 layers is fitted to 4: "
        "3 x rope(base=10000.0)+sliding, 1 x rope(base=1000000.0)"
    ]
    assert [kind.base for kind in scheme.layers(2)] == [1e4, 1e6]
    assert [kind.base for kind in scheme.layers(8)] == [1e4] * 5 + [1e6] + [1e4] * 2
    message = r"pe\.layers has 2 entries, more than the 1 layers of the network"
    with pytest.raises(ValueError, match=message):
        scheme.layers(1)


def test_irope_rotary_layers_see_their_own_chunk_alone():
    """As in Llama 4, a chunk has the original length, and earlier chunks are hidden."""
    layers = [{"pe": "rope", "window": "chunk"}]
    model, before = network(1, "irope", layers=layers), tokens(2 * TRAIN_LENGTH + 4)
    start = 2 * TRAIN_LENGTH  # of the last token's chunk
    changed_earlier, changed_within = before.clone(), before.clone()
    changed_earlier[:, :start] = tokens(start, seed=1)
    changed_within[:, start] = (before[:, start] + 1) % 50
    with torch.no_grad():
        last = model(before, last=1)
        assert model(changed_earlier, last=1).equal(last)
        assert not model(changed_within, last=1).equal(last)


@pytest.mark.parametrize("name", ["rope", "alibi", "fox"])
def test_layers_of_one_scheme_equal_that_scheme(name):
    alone, pattern = network(3, name), network(3, "irope", layers=[{"pe": name}])
    state = {key.replace("pe.", "pe.kinds.0."): v for key, v in alone.state_dict().items()}
    pattern.load_state_dict(state)
    assert alone(tokens(20)).equal(pattern(tokens(20)))


def test_layers_with_windows_hide_what_a_full_layer_sees():
    """A token before the windows of all layers together matters only if one layer is full."""
    window = {"name": "sliding", "size": 4}
    local = {"pe": "rope", "window": window, "repeat": 2}
    change = {}
    for last_layer in ({"pe": "rope", "window": window}, {"pe": "none"}):
        model, before = network(3, "irope", layers=[local, last_layer]), tokens(30)
        after = before.clone()
        after[:, :5] = tokens(30, seed=1)[:, :5]
        with torch.no_grad():
            difference = model(before, last=1) - model(after, last=1)
        change[last_layer["pe"]] = float(difference.abs().max())
    assert change["rope"] == 0
    assert change["none"] > 1e-3


def test_layers_take_the_modifiers_of_the_run_they_do_not_set():
    layers = [{"pe": "rope", "repeat": 3}, {"pe": "none", "attention_scale": "llama4"}]
    scheme = build("irope", **SHAPE, attention_scale="logn", layers=layers, window="sliding")
    first, *_, last = scheme.layers(4)
    assert type(first.modifiers["attention_scale"]).__name__ == "LogN"
    assert type(last.modifiers["attention_scale"]).__name__ == "Llama4"
    assert all("window" in kind.modifiers for kind in (first, last))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one layer"),
        ([{"window": "sliding"}], "names its scheme"),
        ([{"pe": "sinusoidal"}], "cannot stand for one layer"),
        ([{"pe": "rope", "repeat": 0}], "repeat must be a whole number of at least 1"),
        ([{"pe": "rope", "factor": 2}], "unknown setting 'factor' of RoPE"),
        ([{"pe": "ropes"}], "unknown positional encoding 'ropes'"),
    ],
)
def test_layers_refuse_senseless_patterns(layers, message):
    with pytest.raises(ValueError, match=message):
        build("irope", **SHAPE, layers=layers)
