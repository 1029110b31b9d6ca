"""Frequencies, slopes and tables against values computed in float64 without this code.

Unless a test says otherwise: head_dim 64, base 10,000, original length 1,024.
"""

import math

import pytest
import torch

from posext.pe import build

SHAPE = {"head_dim": 64, "n_heads": 8, "d_model": 512, "train_length": 1024}

PAIRS = (0, 4, 8, 12, 16, 20, 24, 28, 31)
LINEAR_TAIL = (3.952847e-04, 1.25e-04, 3.952847e-05, 1.666902e-05)
STRAIGHT = tuple(1 + 7 * i / 31 for i in range(32))
# fmt: off
GOLDEN = {
    ("rope",):
        (1.0, 3.162278e-01, 1.0e-01, 3.162278e-02, 1.0e-02,
         3.162278e-03, 1.0e-03, 3.162278e-04, 1.333521e-04),
    ("linear", ("factor", 8)):
        (1.25e-01, 3.952847e-02, 1.25e-02, 3.952847e-03, 1.25e-03, *LINEAR_TAIL),
    ("ntk", ("factor", 8)):
        (1.0, 2.418089e-01, 5.847154e-02, 1.413894e-02, 3.418921e-03,
         8.267254e-04, 1.999096e-04, 4.833991e-05, 1.666902e-05),
    ("dynamic_ntk",):
        (1.0, 2.418089e-01, 5.847154e-02, 1.413894e-02, 3.418921e-03,
         8.267254e-04, 1.999096e-04, 4.833991e-05, 1.666902e-05),
    ("dynamic_ntk", ("semantics", "hf"), ("hf_factor", 8)):
        (1.0, 1.876876e-01, 3.522662e-02, 6.611599e-03, 1.240915e-03,
         2.329043e-04, 4.371324e-05, 8.204432e-06, 2.339511e-06),
    ("yarn", ("factor", 8)):
        (1.0, 3.162278e-01, 7.980769e-02, 1.672358e-02, 2.596154e-03, *LINEAR_TAIL),
    ("yarn", ("factor", 8), ("truncate", False)):
        (1.0, 3.162278e-01, 8.296508e-02, 1.704411e-02, 2.483133e-03, *LINEAR_TAIL),
    ("yarn", ("factor", 8), ("ramp", "rotations")):
        (1.0, 3.162278e-01, 5.567833e-02, 7.660360e-03, 1.427751e-03, *LINEAR_TAIL),
    ("ntk_by_parts", ("factor", 8)):
        (1.0, 3.162278e-01, 5.567833e-02, 7.660360e-03, 1.427751e-03, *LINEAR_TAIL),
    ("llama3", ("factor", 8)):
        (1.0, 3.162278e-01, 1.0e-01, 3.162278e-02, 3.086761e-03, *LINEAR_TAIL),
    ("ntk_mixed", ("factor", 8), ("power", 0.75)):
        (8.567960e-01, 1.886089e-01, 4.479411e-02, 1.097633e-02, 2.741828e-03,
         6.942798e-04, 1.776425e-04, 4.583353e-05, 1.666902e-05),
    ("ntk_fixed", ("factor", 8)):
        (9.370838e-01, 2.285031e-01, 5.571934e-02, 1.358688e-02, 3.313092e-03,
         8.078806e-04, 1.969976e-04, 4.803687e-05, 1.666902e-05),
    # the authors' code, in float64, as is the next entry
    ("mrrope_pro", ("factor", 8)):
        (1.0, 3.162278e-01, 8.718778e-02, 1.667732e-02, 2.213154e-03, *LINEAR_TAIL),
    ("mrrope_uni", ("factor", 8)):
        (1.0, 3.162278e-01, 6.188631e-02, 1.032098e-02, 1.721262e-03, *LINEAR_TAIL),
    ("note_rope_power", ("alpha", 2)):
        (1.0, 5.623413e-01, 3.162278e-01, 1.778279e-01, 1.0e-01,
         5.623413e-02, 3.162278e-02, 1.778279e-02, 1.154782e-02),
    ("note_ntk_poly", ("denominator", "head_dim")):
        (1.0, 3.280863e-01, 1.063067e-01, 3.432594e-02, 1.106066e-02,
         3.558792e-03, 1.143762e-03, 3.672612e-04, 1.565799e-04),
    ("note_uniform", ("alpha", 0.125)):
        (1.25e-01, 3.952847e-02, 1.25e-02, 3.952847e-03, 1.25e-03, *LINEAR_TAIL),
    ("proportional", ("share", 0.25)): (1.0, 3.162278e-01, *7 * [0.0]),
    # wavelengths of at most 1,024 tokens: theta of at least 6.135923e-03
    ("hope",): (1.0, 3.162278e-01, 1.0e-01, 3.162278e-02, 1.0e-02, *4 * [0.0]),
    ("evq_cosh",):  # tau = 64 / sqrt(1024)
        (9.325097e-01, 5.122921e-01, 2.585716e-01, 1.168635e-01, 4.555060e-02,
         1.448933e-02, 3.487740e-03, 5.941781e-04, 1.298012e-04),
    ("longrope", ("factor", 8), ("long_factor", STRAIGHT)):
        (1.0, 1.661536e-01, 3.563218e-02, 8.524401e-03, 2.167832e-03,
         5.732784e-04, 1.557789e-04, 4.318529e-05, 1.666902e-05),
}
# fmt: on


def inv_freq_of(name: str, length: int = 1024, **settings) -> torch.Tensor:
    return build(name, **SHAPE, **settings).frequencies(length)[0]


@pytest.mark.parametrize("key", GOLDEN, ids=lambda key: "-".join(str(part) for part in key))
def test_frequencies_equal_golden_values(key):
    name, *settings = key
    inv_freq = inv_freq_of(name, 8 * 1024, **dict(settings))
    assert [float(inv_freq[pair]) for pair in PAIRS] == pytest.approx(GOLDEN[key], rel=1e-6)


@pytest.mark.parametrize(
    ("factor", "expected"), [(2, 1.0693), (4, 1.1386), (8, 1.2079), (16, 1.2773), (32, 1.3466)]
)
def test_yarn_attention_factor_equals_golden_values(factor, expected):
    _, attention_factor = build("yarn", **SHAPE, factor=factor).frequencies(1024)
    assert attention_factor == pytest.approx(expected, abs=5e-5)


def test_longrope_attention_factor_equals_golden_value():
    _, attention_factor = build("longrope", **SHAPE, factor=8).frequencies(8192)
    assert attention_factor == pytest.approx(1.140175, abs=1e-6)


def test_yarn_with_equal_mscales_has_attention_factor_1():
    scheme = build("yarn", **SHAPE, factor=8, mscale=0.7, mscale_all_dim=0.7)
    assert scheme.frequencies(1024)[1] == 1.0


def test_partial_spaces_the_spectrum_of_its_dimensions_anew():
    expected = [1, 0.3162278, 0.1, 0.03162278, 0.01, 0.003162278, 0.001, 0.0003162278]
    assert inv_freq_of("partial", share=0.25).tolist() == pytest.approx(expected, rel=1e-6)


def test_resonance_rounds_wavelengths_to_whole_tokens():
    wavelengths = 2 * math.pi / inv_freq_of("resonance")
    assert (wavelengths - wavelengths.round()).abs().max() < 1e-9
    assert ((wavelengths - 2 * math.pi / inv_freq_of("rope")).abs() <= 0.5).all()


def test_clipped_damps_the_slowest_pairs_to_zero():
    shape = {"head_dim": 128, "n_heads": 8, "d_model": 1024, "train_length": 1024}
    rope, _ = build("rope", **shape).frequencies(1024)
    clipped, _ = build("clipped", **shape).frequencies(1024)
    ratio = clipped / rope
    assert ratio[:45].tolist() == [1.0] * 45  # 20 of 64 are damped, the first of them by 1
    assert float(ratio[44 + 10]) == pytest.approx((1 + math.cos(math.pi * 10 / 19)) / 2)
    assert abs(float(ratio[-1])) < 1e-15


def test_giraffe_power_slows_the_slowest_pair_most():
    ratio = inv_freq_of("giraffe_power", power=2) / inv_freq_of("rope")
    assert ratio[[0, 16, 31]].tolist() == pytest.approx([1, 0.25, (1 / 32) ** 2])


@pytest.mark.parametrize(("tau", "rel"), [(0, 1e-12), (1e-4, 1e-6)])
def test_evq_cosh_without_tau_is_rope_half_a_step_slower(tau, rel):
    half_a_step = 10000 ** (-1 / 64)
    slower = [half_a_step * frequency for frequency in inv_freq_of("rope").tolist()]
    assert inv_freq_of("evq_cosh", tau=tau).tolist() == pytest.approx(slower, rel=rel)


@pytest.mark.parametrize("factor", [2, 8, 31.5])
def test_note_rope_power_equals_ntk_at_a_matching_exponent(factor):
    exponent = 1 + 64 / 62 * math.log(factor) / math.log(10000)
    power = inv_freq_of("note_rope_power", alpha=1 / exponent)
    ntk = inv_freq_of("ntk", factor=factor)
    assert power.tolist() == pytest.approx(ntk.tolist(), rel=1e-12)


def test_note_rope_power_warns_where_alpha_exceeds_one(caplog):
    """Such an alpha speeds pairs up, as a smaller base does."""
    power = build("note_rope_power", **SHAPE, alpha=2)
    assert (power.frequencies(1024)[0][1:] > inv_freq_of("rope")[1:]).all()
    assert "RoPE with base 100 and speeds up every pair but the first" in caplog.text
    assert power.describe()["effective_base"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (8, [2.0**-i for i in range(1, 9)]),
        (12, [*(2.0**-i for i in range(1, 9)), 2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]),
        (4, [2**-2, 2**-4, 2**-6, 2**-8]),
        (1, [2**-8]),
    ],
)
def test_alibi_slopes_equal_golden_values(heads, expected):
    scheme = build("alibi", head_dim=64, n_heads=heads, d_model=64 * heads, train_length=1024)
    values_HK = scheme.bias(torch.arange(10)).values_HK
    five_tokens_apart = values_HK[:, 2] - values_HK[:, 7]
    assert five_tokens_apart.tolist() == pytest.approx(
        [-5 * slope for slope in expected], rel=1e-12
    )


def test_ntk_divides_the_slowest_pair_by_the_factor_exactly():
    shape = {"head_dim": 128, "n_heads": 1, "d_model": 128, "train_length": 512}
    ntk, _ = build("ntk", **shape, factor=6.5).frequencies(512)
    rope, _ = build("rope", **shape).frequencies(512)
    assert float(ntk[0]) == 1.0
    assert float(rope[-1] / ntk[-1]) == pytest.approx(6.5, rel=1e-12)


def test_yarn_in_two_stages_equals_yarn_at_their_product():
    """Two stages of twice the length leave the frequencies of one of four times the length."""
    shape = {"head_dim": 64, "n_heads": 4, "d_model": 256, "train_length": 128}
    staged = build("yarn", **shape)
    for reached in (256, 512):
        staged.set_progress(trained_length=reached)
    at_once = build("yarn", **shape, factor=4)
    assert staged.frequencies(512)[0].equal(at_once.frequencies(512)[0])
    assert staged.frequencies(128)[1] == at_once.frequencies(128)[1] == 0.1 * math.log(4) + 1


def test_sinusoidal_table_equals_the_formula_of_the_paper():
    shape = {"head_dim": 8, "n_heads": 2, "d_model": 16, "train_length": 32}
    table = build("sinusoidal", **shape).table(torch.arange(40))
    for position, column in ((0, 0), (3, 4), (39, 15)):
        phase = position * 10000 ** (-2 * (column // 2) / 16)
        expected = math.cos(phase) if column % 2 else math.sin(phase)
        assert float(table[position, column]) == pytest.approx(expected, abs=1e-6)
