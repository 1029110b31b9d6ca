"""Figures of a scheme against closed forms, and the command `posext schemes`."""

import math
import sys

import pytest
import torch

from posext.cli import schemes
from posext.model.attention import prepare
from posext.pe import build, names
from posext.report.scheme_figures import attention_factor, figures, wavelengths

SHAPE = {"head_dim": 64, "n_heads": 4, "d_model": 256, "train_length": 128}


def figures_of(name, length=256, **settings):
    return figures(name, build(name, **SHAPE, **settings), length)


def run_schemes(monkeypatch, capsys, *arguments) -> str:
    """Run `posext schemes` with arguments, and return its stdout."""
    monkeypatch.setattr(sys, "argv", ["posext.pe", *arguments])
    schemes.main()
    return capsys.readouterr().out


def test_figures_of_linear_have_wavelengths_times_the_factor():
    figure = figures_of("linear", factor=8)[0]
    rope, linear = figure.lines
    expected = [2 * math.pi * 10000 ** (i / 32) for i in range(32)]
    assert rope.y.tolist() == pytest.approx(expected, rel=1e-6)
    assert linear.y.tolist() == pytest.approx([8 * tokens for tokens in expected], rel=1e-6)
    assert figure.marks == {"original length": 128, "length": 256}


def test_attention_factor_of_yarn_is_read_from_its_rotation():
    scheme = build("yarn", **SHAPE, factor=8)
    rotation = scheme.rotation(torch.arange(2), 256)
    assert attention_factor(rotation) == pytest.approx(0.1 * math.log(8) + 1)
    expected = 2 * math.pi / scheme.frequencies(256)[0]
    assert wavelengths(rotation).tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert "logits are multiplied by 1.459." in figures_of("yarn", factor=8)[0].notes[1]


def test_figures_of_proportional_count_pairs_that_stand_still():
    figure = figures_of("proportional", share=0.25)[0]
    assert figure.lines[1].y.isinf().tolist() == [False] * 8 + [True] * 24
    assert figure.notes[-1] == "24 of 32 pairs stand still."


@pytest.mark.parametrize("name", ["darope", "fope"])
def test_figures_say_that_layers_change_a_rotation(name):
    assert figures_of(name)[0].notes[-1] == "Each layer changes this rotation, which is not drawn."


def test_figures_of_alibi_fall_by_its_slopes():
    bias = torch.stack([line.y for line in figures_of("alibi")[0].lines])
    slopes = torch.tensor([2.0**-2, 2**-4, 2**-6, 2**-8], dtype=torch.float64)
    torch.testing.assert_close(bias, -slopes[:, None] * torch.arange(256))


@pytest.mark.parametrize("name", ["kerple_log", "t5", "fire_s"])
def test_figures_show_the_bias_of_the_last_query(name):
    scheme = build(name, **SHAPE)
    with torch.no_grad():
        last = prepare(scheme.tables(torch.arange(64))).bias.values_HQK[:, -1].flip(-1).double()
    bias = torch.stack([line.y for line in figures(name, scheme, 64)[0].lines])
    torch.testing.assert_close(bias, last)


def test_figures_of_sinusoidal_are_a_mean_of_cosines():
    similarity = figures_of("sinusoidal")[0].lines[0].y
    frequencies = 10000.0 ** (-torch.arange(0, 256, 2, dtype=torch.float64) / 256)
    expected = torch.cos(torch.arange(256)[:, None] * frequencies).mean(-1)
    torch.testing.assert_close(similarity, expected, atol=1e-6, rtol=0)


def test_figures_of_a_pattern_show_each_kind_of_layer():
    small_base, large_base = figures_of("dual_base")
    assert small_base.title == "layers 1, 2, 3, 4, 5, 7, 8, 9, 10, 11 of 12"
    assert large_base.title == "layers 6, 12 of 12"
    assert float(large_base.lines[1].y[-1]) == pytest.approx(
        2 * math.pi * 1e6 ** (31 / 32), rel=1e-5
    )


@pytest.mark.parametrize("name", names())
def test_schemes_show_draws_or_says_why_not(name, monkeypatch, capsys, tmp_path):
    png = tmp_path / "a.png"
    arguments = ["show", name, "train_length=16", "length=16", f"png={png}"]
    out = run_schemes(monkeypatch, capsys, *arguments)
    assert png.exists() or "there is nothing to draw" in out
    assert max(map(len, out.splitlines())) <= 160


def test_schemes_list_fits_a_terminal_and_counts_parameters(monkeypatch, capsys):
    lines = run_schemes(monkeypatch, capsys).splitlines()
    assert max(map(len, lines)) <= 120
    first_lines = {line.split()[0]: line for line in lines if line[:1].strip()}
    assert set(names()) <= set(first_lines)
    assert "1,028 a layer" in first_lines["fox"]
    assert "trained  " in first_lines["alibi"]
    assert "arXiv:2309.00071" in first_lines["yarn"]


@pytest.mark.parametrize("name", ["none", "fox"])
def test_schemes_show_writes_no_file_of_nothing_to_draw(name, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_schemes(monkeypatch, capsys, "show", name).count("nothing to draw") == 1
    assert not list(tmp_path.iterdir())


def test_schemes_show_writes_to_the_working_directory(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    out = run_schemes(monkeypatch, capsys, "show", "ntk", "factor=4")
    assert "Chart: pe-ntk.png" in out
    assert (tmp_path / "pe-ntk.png").stat().st_size > 10000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw"], "unknown command 'draw'"),
        (["show", "yarm"], "choose one of alibi"),
        (["show", "yarn", "betafast=3"], "factor, beta_fast"),
        (["show", "yarn", "factor"], "KEY=VALUE"),
        (["show", "yarn", "factor=many"], "factor must be a number"),
        (["show", "yarn", "length=0"], "length=0 is not a whole number of at least 1"),
        (["show", "learned", "length=256"], "defined up to 128 tokens"),
        (["show", "rope", "png=/nowhere/a.png"], "/nowhere/a.png"),
    ],
)
def test_schemes_show_refuses_wrong_arguments(arguments, message, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_schemes(monkeypatch, capsys, *arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error
