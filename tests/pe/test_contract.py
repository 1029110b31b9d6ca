"""Properties of every scheme.

Schemes are found by their yaml files and used through their interface; none is a special case by
name but where a test says so.
"""

import inspect

import pytest
import torch
from torch.nn.functional import cross_entropy

from posext.attention_scale.base import AttentionScale
from posext.cli import schemes
from posext.config import MODIFIERS, ModelConfig
from posext.model import attention
from posext.model.gpt import GPT, belongs_to_scheme
from posext.pe import Shape, build, from_config, instance, names, settings_of
from posext.pe.base import STAGES, Modifier, PositionalEncoding
from posext.pe.layers import Layers
from posext.window.base import Window

TRAIN_LENGTH = 16
CONFIG = ModelConfig(name="test", n_layers=2, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3)
ROTARY = [
    name
    for name in names()
    if build(name, head_dim=8, n_heads=4, d_model=32, train_length=16).family == "rotary"
]


def scheme(name: str, **overrides) -> PositionalEncoding:
    built = build(name, head_dim=8, n_heads=4, d_model=32, train_length=TRAIN_LENGTH, **overrides)
    built.read_vocabulary("." if index % 7 == 0 else "word" for index in range(50))
    return built


def network(pe: PositionalEncoding, spread: float = 8.0) -> GPT:
    """A network whose weights are large enough for attention to be far from uniform."""
    model = GPT(CONFIG, 50, pe).initialize(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(spread)
    return model.eval()


def tokens(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(50, (2, length), generator=torch.Generator().manual_seed(seed))


def defined(pe: PositionalEncoding, length: int) -> bool:
    return pe.max_length is None or length <= pe.max_length


@pytest.mark.parametrize("name", names())
def test_logits_depend_on_no_later_token(name):
    model, before = network(scheme(name)), tokens(TRAIN_LENGTH)
    with torch.no_grad():
        logits = model(before)
        for changed in range(1, TRAIN_LENGTH):
            after = before.clone()
            after[:, changed:] = tokens(TRAIN_LENGTH, seed=1)[:, changed:]
            torch.testing.assert_close(model(after)[:, :changed], logits[:, :changed])
            assert not torch.allclose(model(after)[:, changed:], logits[:, changed:])


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("times", [1, 2, 8])
def test_logits_are_finite_or_the_length_is_refused(name, times):
    pe = scheme(name)
    model, length = network(pe), times * TRAIN_LENGTH
    if defined(pe, length):
        with torch.no_grad():
            assert model(tokens(length)).isfinite().all()
    else:
        with pytest.raises(ValueError, match=f"{length} tokens is undefined"):
            model(tokens(length))


@pytest.mark.parametrize("name", names())
def test_logits_survive_a_shift_only_if_relative(name, monkeypatch):
    """A scheme that is declared relative ignores a shift of all positions; any other does not."""
    pe = scheme(name) if name != "learned" else scheme(name, max_length=TRAIN_LENGTH + 7)
    model, context = network(pe).double(), tokens(TRAIN_LENGTH)
    with torch.no_grad():
        unshifted = model(context)
        positions = pe.positions
        monkeypatch.setattr(pe, "positions", lambda *a: positions(*a) + 7)
        shifted = model(context)
    assert torch.allclose(unshifted, shifted, atol=2e-4) == pe.relative  # cos and sin are float32
    if not pe.relative:
        assert (unshifted - shifted).abs().max() > 1e-2


@pytest.mark.parametrize("name", [name for name in names() if name != "none"])
def test_order_of_earlier_tokens_changes_the_last_logits(name):
    """An untrained layer without positions is blind to order; with any scheme it is not."""
    one = ModelConfig(name="test", n_layers=1, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3)
    change = {}
    for chosen in ("none", name):
        model = GPT(one, 50, scheme(chosen).layers(4)[0]).initialize(0)
        model.pe.set_progress(trained_length=TRAIN_LENGTH, progress=0.0)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if not parameter.any():  # what starts at 0 learns order with its first steps
                    parameter.normal_(std=0.02, generator=torch.Generator().manual_seed(0))
                if parameter.ndim == 2 and "bias" not in key:
                    parameter.mul_(8)
            context = tokens(12)
            swapped = context[:, [5, 4, 3, 2, 1, 0, *range(6, 12)]]
            change[chosen] = float((model(context, last=1) - model(swapped, last=1)).abs().max())
    assert change["none"] < 1e-5 < 1e-3 < change[name]


@pytest.mark.parametrize(
    "name", [name for name in ROTARY if getattr(scheme(name), "rope_at_factor_one", False)]
)
@pytest.mark.parametrize("length", [1, 16, 64])
def test_factor_1_is_rope_bit_for_bit(name, length):
    positions = torch.arange(length)
    rotation = scheme(name, factor=1).rotation(positions, length)
    rope = scheme("rope").rotation(positions, length)
    assert rotation.cos_TR.equal(rope.cos_TR)
    assert rotation.sin_TR.equal(rope.sin_TR)
    assert rotation.gain_TR is None


@pytest.mark.parametrize("name", [name for name in ROTARY if scheme(name).length_dependent])
def test_automatic_factor_is_rope_in_range_and_stateless(name):
    """A longer context between two short ones leaves no trace."""
    pe, rope = scheme(name), scheme("rope")
    before = pe.rotation(torch.arange(16), 16)
    beyond = pe.rotation(torch.arange(128), 128)
    after = pe.rotation(torch.arange(16), 16)
    in_range = rope.rotation(torch.arange(16), 16)
    for rotation in (before, after):
        assert rotation.cos_TR.equal(in_range.cos_TR)
        assert rotation.sin_TR.equal(in_range.sin_TR)
    assert not beyond.cos_TR.equal(rope.rotation(torch.arange(128), 128).cos_TR)


@pytest.mark.parametrize("name", ROTARY)
def test_rotation_is_exact_up_to_position_131071(name):
    pe = build(name, head_dim=64, n_heads=2, d_model=128, train_length=1024)
    inv_freq, attention_factor = pe.frequencies(131072)
    positions = torch.tensor([0, 1, 255, 257, 65537, 131071])
    cos, sin, _ = pe.rotation(positions, 131072)
    for row, position in enumerate(positions.tolist()):
        phases = position * inv_freq
        exact_cos = phases.cos() * attention_factor
        exact_sin = phases.sin() * attention_factor
        torch.testing.assert_close(cos[row].double(), exact_cos, atol=2e-7, rtol=0)
        torch.testing.assert_close(sin[row].double(), exact_sin, atol=2e-7, rtol=0)


@pytest.mark.parametrize("name", names())
def test_state_dict_holds_parameters_alone(name):
    pe = scheme(name)
    assert set(pe.state_dict()) == {key for key, _ in pe.named_parameters()}


@pytest.mark.parametrize("name", names())
def test_logits_are_equal_in_training_and_evaluation_mode(name):
    model, context = network(scheme(name)), tokens(TRAIN_LENGTH)
    with torch.no_grad():
        assert model.train()(context).equal(model.eval()(context))


@pytest.mark.parametrize("name", names())
def test_logits_in_chunks_of_queries_equal_all_at_once(name, monkeypatch):
    model, context = network(scheme(name)), tokens(TRAIN_LENGTH)
    whole = model(context).detach()  # with gradients a short context is not split
    with torch.no_grad():
        monkeypatch.setattr(attention, "SMALL_CHUNK", 5)
        torch.testing.assert_close(model(context), whole, atol=1e-3, rtol=1e-4)  # logits are tens
    for limit in ("EXPLICIT_LENGTH", "DENSE_LENGTH"):
        monkeypatch.setattr(attention, limit, 4)
    monkeypatch.setattr(attention, "CHUNK", 5)
    torch.testing.assert_close(model(context).detach(), whole, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("limit", [4, 1000])  # a chunk of queries at a time; all at once
def test_logits_of_last_equal_the_end_of_all(name, limit, monkeypatch):
    model, context = network(scheme(name)), tokens(TRAIN_LENGTH)
    with torch.set_grad_enabled(limit == 1000):
        whole = model(context).detach()
        for constant in ("EXPLICIT_LENGTH", "DENSE_LENGTH", "CHUNK", "SMALL_CHUNK"):
            monkeypatch.setattr(attention, constant, limit)
        for last in (1, 6, TRAIN_LENGTH - 2):
            assert model.hidden(context, last).shape[1] == last
            torch.testing.assert_close(
                model(context, last=last).detach(), whole[:, -last:], atol=1e-3, rtol=1e-4
            )


@pytest.mark.parametrize("name", names())
def test_logits_are_equal_in_any_order_of_lengths(name):
    model = network(scheme(name))
    lengths = [length for length in (4, 16, 64, 128) if defined(model.pe, length)]
    with torch.no_grad():
        upwards = {length: model(tokens(length)) for length in lengths}
        assert all(model(tokens(length)).equal(upwards[length]) for length in reversed(lengths))


@pytest.mark.parametrize("name", names())
def test_gradients_of_a_scheme_equal_finite_differences(name):
    """The slope is along a random direction, through the whole network, in float64."""
    torch.manual_seed(0)
    model, context = network(scheme(name), spread=2.0).double(), tokens(TRAIN_LENGTH + 1)
    model.summed_nll = lambda x, weight, targets, softcap: cross_entropy(
        (x @ weight.T).flatten(0, 1), targets.flatten()
    )
    learned = [
        p for key, p in model.named_parameters() if belongs_to_scheme(key) and p.requires_grad
    ]
    if not learned:
        pytest.skip("the scheme has no parameters")
    model(context[:, :-1], context[:, 1:]).backward()
    directions = [torch.randn_like(p) for p in learned]
    slope = sum(float((p.grad * d).sum()) for p, d in zip(learned, directions, strict=True))
    losses = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):  # to either side of the start
            for p, d in zip(learned, directions, strict=True):
                p += step * d
            losses.append(float(model(context[:, :-1], context[:, 1:])))
    assert slope != 0
    above, below = losses
    assert (above - below) / 2e-5 == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("name", names())
def test_stages_and_paper_are_set_by_the_class_itself(name):
    """An inherited value would describe the parent. Patterns over layers name papers in yaml."""
    own = vars(type(scheme(name)))
    assert own["stages"]
    assert own["stages"] <= set(STAGES)
    assert schemes.paper_of(name, scheme(name))
    assert "paper" in own or isinstance(scheme(name), Layers)


@pytest.mark.parametrize("name", [name for name in names() if not isinstance(scheme(name), Layers)])
def test_file_of_a_scheme_has_80_lines_at_most(name):
    source = inspect.getsource(inspect.getmodule(type(scheme(name))))
    assert len(source.splitlines()) <= 80


@pytest.mark.parametrize("group", MODIFIERS)
def test_modifier_stages_and_paper_are_set(group):
    for name in names(group):
        modifier = instance(settings_of(group, name), scheme("rope").shape, Modifier)
        is_neutral = type(modifier) in (Window, AttentionScale)
        assert is_neutral == (not modifier.stages) == (not modifier.paper)
        assert modifier.stages <= set(STAGES)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_under_autocast_are_float32_and_near(name, dtype):
    model, context = network(scheme(name), spread=2.0), tokens(TRAIN_LENGTH)
    with torch.no_grad():
        exact = model(context)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(context)
    assert logits.dtype == torch.float32
    tolerance = 1e-6 if dtype == torch.float32 else 0.05 * exact.abs().max()
    assert (logits - exact).abs().max() < tolerance


def test_build_refuses_unknown_names_and_lists_valid_ones():
    with pytest.raises(ValueError, match=r"'yarnn'; choose one of .*yarn"):
        scheme("yarnn")
    with pytest.raises(ValueError, match=r"'betafast' of YaRN; it has .*beta_fast"):
        scheme("yarn", betafast=3)
    with pytest.raises(ValueError, match=r"ramp must be one of index, rotations, not 'sideways'"):
        scheme("yarn", ramp="sideways")
    with pytest.raises(ValueError, match="refused"):
        from_config({"_target_": "os.system"}, Shape(8, 4, 32, 16))


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("linear", {"factor": 0.5}, "factor must be a number of at least 1, or auto, not 0.5"),
        ("ntk", {"factor": float("nan")}, "factor must be"),
        ("yarn", {"factor": float("inf")}, "factor must be"),
        ("yarn", {"beta_fast": 1, "beta_slow": 2}, "beta_fast must exceed beta_slow"),
        ("rope", {"base": 1}, "base must be a number above 1"),
        ("dynamic_ntk", {"hf_factor": 2}, "has no factor"),
        (
            "learned",
            {"max_length": 0},
            "max_length must be a whole number of at least 1, or auto, not 0",
        ),
    ],
)
def test_build_refuses_values_out_of_bounds(name, overrides, message):
    with pytest.raises(ValueError, match=message):
        scheme(name, **overrides)


def test_build_refuses_rope_with_an_odd_head_dim():
    with pytest.raises(ValueError, match="even head_dim"):
        build("rope", head_dim=7, n_heads=1, d_model=7, train_length=16)
