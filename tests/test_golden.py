"""inv_freq against values worked out apart from this code, in float64: head_dim 64, base 10,000, original length 1,024."""

import math

import pytest

from posext.pe import build

PAIRS = (0, 4, 8, 12, 16, 20, 24, 28, 31)
LINEAR_TAIL = (3.952847e-04, 1.25e-04, 3.952847e-05, 1.666902e-05)
# fmt: off
GOLDEN = {
    ("rope",): (1.0, 3.162278e-01, 1.0e-01, 3.162278e-02, 1.0e-02, 3.162278e-03, 1.0e-03, 3.162278e-04, 1.333521e-04),
    ("linear", ("factor", 8)):
        (1.25e-01, 3.952847e-02, 1.25e-02, 3.952847e-03, 1.25e-03, *LINEAR_TAIL),
    ("ntk", ("factor", 8)):
        (1.0, 2.418089e-01, 5.847154e-02, 1.413894e-02, 3.418921e-03, 8.267254e-04, 1.999096e-04, 4.833991e-05,
         1.666902e-05),
    ("dynamic_ntk",):
        (1.0, 2.418089e-01, 5.847154e-02, 1.413894e-02, 3.418921e-03, 8.267254e-04, 1.999096e-04, 4.833991e-05,
         1.666902e-05),
    ("dynamic_ntk", ("semantics", "hf"), ("hf_factor", 8)):
        (1.0, 1.876876e-01, 3.522662e-02, 6.611599e-03, 1.240915e-03, 2.329043e-04, 4.371324e-05, 8.204432e-06,
         2.339511e-06),
    ("yarn", ("factor", 8)):
        (1.0, 3.162278e-01, 7.980769e-02, 1.672358e-02, 2.596154e-03, *LINEAR_TAIL),
    ("yarn", ("factor", 8), ("truncate", False)):
        (1.0, 3.162278e-01, 8.296508e-02, 1.704411e-02, 2.483133e-03, *LINEAR_TAIL),
    ("yarn", ("factor", 8), ("ramp", "rotations")):
        (1.0, 3.162278e-01, 5.567833e-02, 7.660360e-03, 1.427751e-03, *LINEAR_TAIL),
}
# fmt: on


@pytest.mark.parametrize("key", GOLDEN, ids=lambda key: "-".join(str(part) for part in key))
def test_frequencies_equal_the_golden_values(key):
    name, *settings = key
    scheme = build(name, head_dim=64, n_heads=8, d_model=512, train_length=1024, **dict(settings))
    inv_freq, _ = scheme.frequencies(8 * 1024)
    assert [float(inv_freq[pair]) for pair in PAIRS] == pytest.approx(GOLDEN[key], rel=1e-6)


@pytest.mark.parametrize(("factor", "expected"), [(2, 1.0693), (4, 1.1386), (8, 1.2079), (16, 1.2773), (32, 1.3466)])
def test_yarn_multiplies_cos_and_sin_by_its_temperature(factor, expected):
    scheme = build("yarn", head_dim=64, n_heads=8, d_model=512, train_length=1024, factor=factor)
    assert scheme.frequencies(1024)[1] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (8, [2.0**-i for i in range(1, 9)]),
        (12, [*(2.0**-i for i in range(1, 9)), 2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]),
        (4, [2**-2, 2**-4, 2**-6, 2**-8]),
        (1, [2**-8]),
    ],
)
def test_alibi_slopes(heads, expected):
    import torch

    scheme = build("alibi", head_dim=64, n_heads=heads, d_model=64 * heads, train_length=1024)
    values_HK = scheme.bias(torch.arange(10)).values_HK
    distance = values_HK[:, 2] - values_HK[:, 7]  # five tokens apart
    assert distance.tolist() == pytest.approx([-5 * slope for slope in expected], rel=1e-12)


def test_ntk_divides_the_slowest_pair_by_the_factor_exactly():
    ntk = build("ntk", head_dim=128, n_heads=1, d_model=128, train_length=512, factor=6.5).frequencies(512)[0]
    rope = build("rope", head_dim=128, n_heads=1, d_model=128, train_length=512).frequencies(512)[0]
    assert float(ntk[0]) == 1.0
    assert float(rope[-1] / ntk[-1]) == pytest.approx(6.5, rel=1e-12)


def test_two_stages_of_twice_the_length_are_one_of_four_times():
    staged = build("yarn", head_dim=64, n_heads=4, d_model=256, train_length=128)
    for reached in (256, 512):
        staged.trained_length = reached
    once = build("yarn", head_dim=64, n_heads=4, d_model=256, train_length=128, factor=4)
    assert staged.frequencies(512)[0].equal(once.frequencies(512)[0])
    assert staged.frequencies(128)[1] == once.frequencies(128)[1] == 0.1 * math.log(4) + 1


def test_sinusoidal_is_the_paper_s_table():
    import torch

    table = build("sinusoidal", head_dim=8, n_heads=2, d_model=16, train_length=32).table(torch.arange(40))
    for n, column in ((0, 0), (3, 4), (39, 15)):
        phase = n * 10000 ** (-2 * (column // 2) / 16)
        expected = math.cos(phase) if column % 2 else math.sin(phase)
        assert float(table[n, column]) == pytest.approx(expected, abs=1e-6)
