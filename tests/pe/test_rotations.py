"""Rotations by head or by content, against loops over positions and pairs."""

import math

import pytest
import torch
from helpers.networks import network, tokens
from torch.func import functional_call

from posext.config import ModelConfig, OptimizerConfig
from posext.model.attention import prepare
from posext.model.gpt import GPT
from posext.model.queries_and_keys import turned_keys, turned_queries
from posext.pe import build
from posext.training.optimizer import make_optimizers

HEADS, DIM, PAIRS, LENGTH = 2, 12, 6, 14
SHAPE = {"head_dim": DIM, "n_heads": HEADS, "d_model": 24, "train_length": 64}
CONFIG = ModelConfig(name="test", n_layers=2, n_heads=2, d_model=24, d_ff=32, learning_rate=1e-3)
FREQUENCIES = [10000 ** (-2 * pair / DIM) for pair in range(PAIRS)]
FAST = 2  # pairs whose wavelength is at most 64: 2 pi / theta is 6.3, 29.2, 135 ..


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def randomized(name: str, generator: torch.Generator, **settings):
    """A scheme, and its layer module with random weights of order 1 in float64."""
    scheme = build(name, **SHAPE, **settings)
    module = scheme.make_layer_module().double().requires_grad_(False)
    for parameter in module.parameters():
        parameter.normal_(generator=generator)
    return scheme, module


def logits(scheme, module, x, q, k) -> torch.Tensor:
    """Our products of turned queries and keys: (B, H, Q, K)."""
    tables = module(x, prepare(scheme.tables(torch.arange(x.shape[1]))))
    return turned_queries(q, tables) @ turned_keys(k, tables).mT


def looped(q, k, cos, sin) -> torch.Tensor:
    """The same in loops; `cos` and `sin` map (batch, head, position, pair) to a number."""
    expected = torch.zeros(*q.shape[:2], LENGTH, LENGTH, dtype=torch.float64)
    for index in torch.cartesian_prod(*(torch.arange(size) for size in expected.shape)).tolist():
        b, h, n, m = index
        for r in range(PAIRS):
            turned = []
            for vector, position in ((q[b, h, n], n), (k[b, h, m], m)):
                first, second = float(vector[r]), float(vector[r + PAIRS])
                c, s = cos(b, h, position, r), sin(b, h, position, r)
                turned.append((first * c - second * s, second * c + first * s))
            expected[b, h, n, m] += sum(one * other for one, other in zip(*turned, strict=True))
    return expected


@pytest.mark.parametrize(
    ("name", "settings"),
    [("fope", {}), ("darope", {}), ("selective_rope", {"bias": True, "phase_gate": True})],
)
def test_gradients_of_weights_equal_finite_differences(name, settings, generator):
    scheme, module = randomized(name, generator, **settings)
    x, q, k = inputs(generator)
    weights = dict(module.named_parameters())

    def products(*values: torch.Tensor) -> torch.Tensor:
        def call(*arguments):
            return functional_call(module, dict(zip(weights, values, strict=True)), arguments)

        return logits(scheme, call, x, q, k)

    values = [weight.clone().requires_grad_() for weight in weights.values()]
    assert torch.autograd.gradcheck(products, values, fast_mode=True)


def inputs(generator: torch.Generator, batch: int = 2) -> list[torch.Tensor]:
    """The input of a layer, queries and keys."""
    q, k = (torch.randn(batch, HEADS, LENGTH, DIM, generator=generator) for _ in range(2))
    return [each.double() for each in (torch.randn(batch, LENGTH, 24, generator=generator), q, k)]


def test_fope_logits_equal_the_sums_of_frequencies(generator):
    scheme, module = randomized("fope", generator)
    x, q, k = inputs(generator, batch=1)
    cos_HFR, sin_HFR = module.weights_2HFR

    def cos(_, h, n, r):
        if r >= FAST:
            return 1.0
        weights = cos_HFR[h, :, r].tolist()
        return sum(w * math.cos(n * FREQUENCIES[f]) for f, w in enumerate(weights))

    def sin(_, h, n, r):
        if r >= FAST:
            return 0.0
        weights = sin_HFR[h, :, r].tolist()
        return sum(w * math.sin(n * FREQUENCIES[f]) for f, w in enumerate(weights))

    assert cos_HFR.shape == (HEADS, FAST, FAST)
    torch.testing.assert_close(
        logits(scheme, module, x, q, k), looped(q, k, cos, sin), atol=1e-5, rtol=1e-6
    )


def test_fope_without_noise_is_hope():
    fope, hope = network(2, "fope", gain=0), network(2, "hope")
    context = tokens(40)
    torch.testing.assert_close(fope(context), hope(context), atol=1e-4, rtol=1e-4)


def test_fope_starts_near_the_identity_with_noise_of_its_gain():
    shape = {"head_dim": 128, "n_heads": 8, "d_model": 1024, "train_length": 4096}
    scheme = build("fope", **shape, gain=0.6)
    kept = scheme.kept
    assert kept == sum(2 * math.pi * 10000 ** (2 * r / 128) <= 4096 for r in range(64))
    cos_HFR, sin_HFR = scheme.make_layer_module().weights_2HFR
    for weights in (cos_HFR, sin_HFR):
        noise = weights - torch.eye(kept)
        assert float(noise.std()) == pytest.approx(
            0.6 * (2 / (kept**2 + 8 * kept)) ** 0.5, rel=0.05
        )
        assert abs(float(noise.mean())) < 1e-3
    assert not cos_HFR.equal(sin_HFR)


@pytest.mark.parametrize("learned", [False, True])
def test_fope_trains_its_mix_only_if_told_to(learned):
    model = GPT(CONFIG, 50, build("fope", **SHAPE, learned=learned)).initialize(0)
    context = tokens(LENGTH + 1)
    model(context[:, :-1], context[:, 1:]).backward()
    mixes = {key: p for key, p in model.named_parameters() if ".order." in key}
    assert len(mixes) == CONFIG.n_layers
    for parameter in mixes.values():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == learned
    (optimizer,) = make_optimizers(model, OptimizerConfig(), 1e-3)
    decayed, rest = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    assert not any(id(p) in decayed for p in mixes.values())
    assert all((id(p) in rest) == learned for p in mixes.values())


def test_fope_mixes_the_rotations_of_a_window_too():
    """A window as long as the context changes nothing, as each of its groups is mixed."""
    windowed, plain = (network(2, "fope", **axes) for axes in ({"window": "leaky_rerope"}, {}))
    windowed.load_state_dict(plain.state_dict())
    context = tokens(6)
    torch.testing.assert_close(windowed(context), plain(context), atol=1e-4, rtol=1e-4)


def test_fope_refuses_a_length_below_every_wavelength():
    with pytest.raises(ValueError, match="from 7 tokens on, not train_length=6"):
        build("fope", **{**SHAPE, "train_length": 6})


def test_darope_logits_equal_the_formula(generator):
    scheme, module = randomized("darope", generator)
    module.weight_HC.mul_(0.3)  # else sigmoids are saturated
    x, q, k = inputs(generator)

    def phase(b, h, m, r):
        if r < FAST:
            return m * FREQUENCIES[r]
        share = (m + 0.5) / 64
        content = sum(
            float(w) * float(u) for w, u in zip(module.weight_HC[h], x[b, m], strict=True)
        )
        exponent = content + float(module.slope_H[h]) * math.log(share / (1 - share))
        return 64 / (1 + math.exp(-exponent)) * FREQUENCIES[r]

    expected = looped(q, k, lambda *at: math.cos(phase(*at)), lambda *at: math.sin(phase(*at)))
    torch.testing.assert_close(logits(scheme, module, x, q, k), expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(("slope", "limit", "length"), [(1, "rope", 16), (0, "hope", 40)])
def test_darope_without_content_is_rope_in_range_or_hope(slope, limit, length):
    """Shifts of all positions by a half, or of all to the middle, cancel between two tokens."""
    darope, plain = network(2, "darope"), network(2, limit)
    darope.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        for block in darope.blocks:
            block.attention.order[0].weight_HC.zero_()
            block.attention.order[0].slope_H.fill_(slope)
    context = tokens(length)
    torch.testing.assert_close(darope(context), plain(context), atol=1e-3, rtol=1e-4)


def test_darope_positions_stay_within_the_original_length():
    scheme = build("darope", **SHAPE)
    module = scheme.make_layer_module()
    x = 100 * torch.randn(2, 500, 24, generator=torch.Generator().manual_seed(0))
    positions = module.positions(x, torch.arange(500))
    assert positions.shape == (2, HEADS, 500)
    assert 0 <= positions.min() < 1
    assert 63 < positions.max() <= 64
    alike = module.positions(x[:, :1].expand(-1, 500, -1), torch.arange(500))
    assert (alike.diff()[..., :63] > 0).all()
    assert not alike.diff()[..., 63:].any()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_selective_rope_logits_equal_the_formula(generator, bias, gate):
    scheme, module = randomized("selective_rope", generator, bias=bias, phase_gate=gate, rank=3)
    x, q, k = inputs(generator)
    unit = torch.zeros_like(x)
    for b, t, h in torch.cartesian_prod(*map(torch.arange, (2, LENGTH, HEADS))).tolist():
        part = slice(12 * h, 12 * h + 12)
        unit[b, t, part] = x[b, t, part] / math.sqrt(float(x[b, t, part].square().sum()))
    projected = unit @ (module.up.weight @ module.down.weight).T
    steps = torch.zeros(2, HEADS, LENGTH, PAIRS, dtype=torch.float64)
    for b, h, t, r in torch.cartesian_prod(*map(torch.arange, steps.shape)).tolist():
        channel = h * PAIRS + r
        for back in range(min(t, 3) + 1):
            kernel = float(module.convolution.weight[channel, 0, 3 - back])
            steps[b, h, t, r] += kernel * projected[b, t - back, channel]
        if bias:
            steps[b, h, t, r] += math.exp(module.log_step_E[channel])
        if gate:
            opening = float(unit[b, t] @ module.gate.weight[h] + module.gate.bias[h])
            steps[b, h, t, r] /= 1 + math.exp(-opening)

    def phase(b, h, n, r):
        return FREQUENCIES[r] * sum(steps[b, h, : n + 1, r].tolist())

    expected = looped(q, k, lambda *at: math.cos(phase(*at)), lambda *at: math.sin(phase(*at)))
    torch.testing.assert_close(logits(scheme, module, x, q, k), expected, atol=1e-5, rtol=1e-6)


def test_selective_rope_with_steps_of_1_is_rope():
    selective, rope = network(2, "selective_rope", bias=True), network(2, "rope")
    selective.load_state_dict(rope.state_dict(), strict=False)
    with torch.no_grad():
        for block in selective.blocks:
            block.attention.order[0].up.weight.zero_()
    context = tokens(40)
    torch.testing.assert_close(selective(context), rope(context), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", ["darope", "selective_rope"])
def test_rotations_by_content_do_not_decay(name):
    model = GPT(CONFIG, 50, build(name, **SHAPE)).initialize(0)
    (optimizer,) = make_optimizers(model, OptimizerConfig(), 1e-3)
    rest = {id(p) for p in optimizer.param_groups[1]["params"]}
    learned = [p for key, p in model.named_parameters() if ".order." in key]
    assert learned
    assert all(id(p) in rest for p in learned)
